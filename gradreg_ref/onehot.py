"""Onehot: the squared input gradient of the true class's logit."""

import numpy as np

from gradreg_ref import checks
from gradreg_ref.contraction import contract, reduce
from gradreg_ref.typing import Array, Reduction


def onehot(J: Array, y: Array, *, reduction: Reduction = "mean") -> Array:
    """Compute Onehot, ‖Jᵀe_y‖² = Σ_i J[y, i]², that is ‖JᵀR‖²_F with R = e_y.

    *Random onehot*, √m·e_c with c uniform on all m classes, is a law of probes:
    ``spectreg(J, probe="onehot", rng=rng)``. Unlike this one it is unbiased for ‖J‖²_F.

    Parameters
    ----------
    J : array (n, k, i)
        Jacobian of the logits with respect to the inputs.
    y : array (n,)
        Labels in [0, m), of an integer dtype.
    reduction : {"mean", "sum", "none"}
        Mean or sum over the batch, or one value per example.

    Returns
    -------
    array () or (n,)
        Without a factor ½ or m.

    Raises
    ------
    ValueError, TypeError
        Wrong shape or dtype; labels out of range.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), Onehot and Random onehot.

    Examples
    --------
    >>> import numpy as np
    >>> float(onehot(np.array([[[1.0, 2.0], [3.0, 4.0]]]), np.array([1])))
    25.0
    """
    J = checks.jacobian(J)
    n, m, _ = J.shape
    R = np.eye(m)[checks.labels(y, n, m)][:, :, None]
    return reduce(contract(J, R), reduction)
