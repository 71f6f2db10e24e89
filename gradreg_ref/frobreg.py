"""FrobReg: the exact squared Frobenius norm of the logits Jacobian."""

import numpy as np

from gradreg_ref import checks
from gradreg_ref.contraction import contract, reduce
from gradreg_ref.typing import Array, Reduction


def frobreg(J: Array, *, reduction: Reduction = "mean") -> Array:
    """Compute FrobReg, ‖J‖²_F = Σ_ki J[k, i]², that is ‖JᵀR‖²_F with R = I.

    Parameters
    ----------
    J : array (n, k, i)
        Jacobian of the logits with respect to the inputs.
    reduction : {"mean", "sum", "none"}
        Mean or sum over the batch; "none" returns one value per example.

    Returns
    -------
    array () or (n,)
        Without a factor ½, a square root, or a division by the number of inputs or logits.

    Raises
    ------
    ValueError, TypeError
        J not of shape (n, k, i), empty, not floating, not finite; an unknown reduction.

    References
    ----------
    Varga, Csiszárik, Zombori, "Gradient Regularization Improves Accuracy of Discriminative
    Models" (arXiv:1712.09936), FrobReg.

    Examples
    --------
    >>> import numpy as np
    >>> float(frobreg(np.array([[[1.0, 2.0], [3.0, 4.0]]])))
    30.0
    """
    J = checks.jacobian(J)
    n, m, _ = J.shape
    R = np.broadcast_to(np.eye(m), (n, m, m))
    return reduce(contract(J, R), reduction)
