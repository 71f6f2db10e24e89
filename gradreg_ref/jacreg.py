"""JacReg: the squared Frobenius norm of the Jacobian of the class probabilities."""

import numpy as np

from gradreg_ref import checks
from gradreg_ref.contraction import contract, reduce
from gradreg_ref.losses import softmax_jacobian
from gradreg_ref.probes import batch_probes
from gradreg_ref.typing import Array, Law, Reduction, Rng


def jacreg(
    J: Array,
    logits: Array,
    *,
    probes: Array | None = None,
    probe: Law = "gaussian",
    num_probes: int | None = None,
    shared_probe: bool = False,
    rng: Rng | None = None,
    reduction: Reduction = "mean",
) -> Array:
    """‖∂p/∂x‖²_F = ‖JᵀR‖²_F with R = S = ∂p/∂z = diag(p) − p pᵀ; projected, R = S r / √q.

    S depends on the parameters through p and is never detached: it takes part in the gradient.

    Parameters
    ----------
    J : array (n, k, i)
        Jacobian of the *logits* with respect to the inputs.
    logits : array (n, k)
        z, at the same inputs; p = softmax(z).
    probes : array (n, k, q), optional
        Probes for the projected form; without them they are drawn, if num_probes says how many.
    probe, shared_probe, rng
        As in `spectreg`.
    num_probes : int, optional
        None, the default, is the exact form.
    reduction : {"mean", "sum", "none"}
        Over the batch.

    Returns
    -------
    array () or (n,)
        No ½.

    Raises
    ------
    ValueError, TypeError
        Wrong shape or dtype; one logit; num_probes >= m.

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
    if probes is None and num_probes is None and (rng is not None or shared_probe):
        raise ValueError("expected num_probes=1 (or more) for the projected form, got none of it")
    S = softmax_jacobian(z)
    if probes is None and num_probes is None:
        return reduce(contract(J, S), reduction)
    q = 1 if num_probes is None else num_probes
    r = batch_probes(n, m, probes, probe, q, shared_probe, rng)
    S_r = np.einsum("nkl,nlq->nkq", S, r)
    return reduce(contract(J, S_r) / r.shape[2], reduction)
