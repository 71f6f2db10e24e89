"""DoubleBack: the squared input gradient of the loss, a projection of the logits Jacobian."""

from gradreg_ref import checks
from gradreg_ref.contraction import contract, reduce
from gradreg_ref.losses import loss_gradient
from gradreg_ref.typing import Array, Loss, Reduction


def doubleback(
    J: Array,
    logits: Array,
    y: Array,
    *,
    loss: Loss = "cross_entropy",
    reduction: Reduction = "mean",
) -> Array:
    """Compute DoubleBack, ‖∂L/∂x‖² = ‖JᵀR‖² with R = ∂L/∂z; for cross-entropy R = p − onehot(y).

    R depends on the parameters through z and is never detached: it takes part in the gradient.

    Parameters
    ----------
    J : array (n, k, i)
        Jacobian of the logits with respect to the inputs.
    logits : array (n, k)
        z, at the same inputs.
    y : array
        Labels (n,) or class probabilities (n, k) for cross-entropy; targets (n, k) for
        mean_squared_error.
    loss : {"cross_entropy", "mean_squared_error"}
        L of *one example*. With the mean loss of a batch the value would be 1/B² of this.
    reduction : {"mean", "sum", "none"}
        Mean or sum over the batch, or one value per example.

    Returns
    -------
    array () or (n,)
        Without a factor ½.

    Raises
    ------
    ValueError, TypeError
        Wrong shape or dtype; labels out of range; one logit with cross-entropy.

    References
    ----------
    Drucker, LeCun, "Improving generalization performance using double backpropagation" (1992);
    Varga, Csiszárik, Zombori (arXiv:1712.09936), DoubleBack.

    Examples
    --------
    >>> import numpy as np
    >>> J = np.array([[[2.0], [0.0]]])
    >>> float(doubleback(J, np.zeros((1, 2)), np.array([0])))  # p - y = (-1/2, 1/2)
    1.0
    """
    J = checks.jacobian(J)
    z = checks.logits(logits, like=J)
    R = loss_gradient(z, y, loss)[:, :, None]
    return reduce(contract(J, R), reduction)
