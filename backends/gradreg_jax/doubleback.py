"""DoubleBack: the squared input gradient of the loss, a projection of the logits Jacobian."""

from typing import Any

from gradreg_jax import checks
from gradreg_jax.losses import LOSSES
from gradreg_jax.products import Linearised, Model, reduce


def doubleback(
    f: Model,
    params: Any,
    x: Any,
    y: Any,
    *,
    loss: str = "cross_entropy",
    reduction: str = "mean",
    batch: Any = None,
) -> Any:
    """Compute DoubleBack, ‖∂L/∂x‖² = ‖JᵀR‖² with R = ∂L/∂z; for cross-entropy R = p − onehot(y).

    R depends on the parameters through z and is never detached: it takes part in the gradient.

    Parameters
    ----------
    f, params, x, reduction, batch
        As in `frobreg`.
    y : array
        Labels (n,) or class probabilities (n, k) for cross-entropy; targets of the shape of the
        outputs for mean_squared_error. Under `jit` no error can be raised: a bad label or
        distribution makes the value of its example NaN.
    loss : {"cross_entropy", "mean_squared_error"}
        L of *one example*; mean_squared_error is the mean over its outputs, without ½.

    Returns
    -------
    array () or (n,)
        Without a factor ½. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError
        Bad input. Every message says what was expected and what to do.

    References
    ----------
    Drucker, LeCun, "Improving generalization performance using double backpropagation" (1992);
    Varga, Csiszárik, Zombori (arXiv:1712.09936), DoubleBack.
    """
    at = Linearised.at(f, params, x, batch=batch)
    R = LOSSES[checks.choice("loss", loss, LOSSES)][1](at, y)
    return reduce(at.contract(R[:, :, None]), reduction)
