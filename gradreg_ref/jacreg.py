"""JacReg: the squared Frobenius norm of the Jacobian of the class probabilities."""

import numpy as np

from gradreg_ref import checks
from gradreg_ref.contraction import contract, reduce
from gradreg_ref.losses import softmax_jacobian
from gradreg_ref.probes import columns
from gradreg_ref.typing import Array, Law, Reduction, Rng


def jacreg(
    J: Array,
    logits: Array,
    *,
    probes: Array | None = None,
    probe: Law | None = None,
    num_probes: int | None = None,
    shared_probe: bool = False,
    rng: Rng | None = None,
    reduction: Reduction = "mean",
) -> Array:
    """Compute JacReg, ‖∂p/∂x‖²_F = ‖JᵀR‖²_F with R = S = ∂p/∂z = diag(p) − p pᵀ, or R = S r / √q.

    S depends on the parameters through p and is never detached: it takes part in the gradient.

    Parameters
    ----------
    J : array (n, k, i)
        Jacobian of the *logits* with respect to the inputs.
    logits : array (n, k)
        z, at the same inputs; p = softmax(z).
    probes : array (n, k, q), optional
        Probes for the projected form.
    num_probes : int, optional
        How many probes to draw. Without this and without `probes` the exact form is computed, and
        the options of probes are refused.
    probe, shared_probe, rng
        As in `spectreg`.
    reduction : {"mean", "sum", "none"}
        Mean or sum over the batch, or one value per example.

    Returns
    -------
    array () or (n,)
        Without a factor ½.

    Raises
    ------
    ValueError, TypeError
        Wrong shape or dtype; one logit; num_probes >= m; options of probes without probes.

    References
    ----------
    Sokolić, Giryes, Sapiro, Rodrigues, "Robust large margin deep neural networks" (2016);
    Varga, Csiszárik, Zombori (arXiv:1712.09936), JacReg.

    Examples
    --------
    >>> import numpy as np
    >>> J = np.array([[[2.0], [0.0]]])
    >>> float(jacreg(J, np.zeros((1, 2))))  # S = [[1, -1], [-1, 1]] / 4
    0.5
    """
    J = checks.jacobian(J)
    z = checks.logits(logits, like=J)
    n, m = z.shape
    checks.more_than_one_class(m)
    R = softmax_jacobian(z)
    if probes is not None or num_probes is not None:
        r = columns(n, m, probes, probe, num_probes, shared_probe, rng)
        R = np.einsum("nkl,nlq->nkq", R, r)
    elif probe is not None or rng is not None or checks.flag("shared_probe", shared_probe):
        raise ValueError(
            "expected num_probes >= 1 with probe, rng or shared_probe, which belong to the "
            "projected form, got num_probes=None; leave them out for the exact form"
        )
    return reduce(contract(J, R), reduction)
