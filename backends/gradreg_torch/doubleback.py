"""DoubleBack: the squared input gradient of the loss, a projection of the logits Jacobian."""

from dataclasses import dataclass
from typing import Any, Unpack

from torch import Tensor

from gradreg_torch._engine import Contraction, Inputs, ModelOrLogits, Options, Side, evaluate
from gradreg_torch.losses import Loss, loss_gradient, require_known
from gradreg_torch.penalty import Penalty


@dataclass(frozen=True)
class _LossGradient(Contraction):
    """R = ∂L/∂z, one column, never detached."""

    y: Tensor
    loss: Loss = "cross_entropy"

    def __post_init__(self) -> None:
        require_known(self.loss)

    def columns(self, side: Side) -> Tensor:
        """R[n, k, 1]."""
        return loss_gradient(side.z, self.y, self.loss, side.reads)[:, :, None]


def doubleback(
    model: ModelOrLogits,
    x: Inputs,
    y: Tensor,
    *,
    loss: Loss = "cross_entropy",
    **options: Unpack[Options],
) -> Tensor:
    """Compute DoubleBack, ‖∂L/∂x‖² = ‖JᵀR‖² with R = ∂L/∂z; for cross-entropy R = p − onehot(y).

    R depends on the parameters through z and is never detached: it takes part in the gradient.

    Parameters
    ----------
    model, x, options
        As in `frobreg`; there is no forward mode, and chunk_size has no effect.
    y : Tensor
        Labels (n,) or class probabilities (n, k) for cross-entropy; targets of the shape of the
        outputs for mean_squared_error.
    loss : {"cross_entropy", "mean_squared_error"} or callable
        L of *one example*; mean_squared_error is the mean over its outputs, without ½. A callable
        takes (outputs, y) and returns (n,) losses, as with reduction="none".

    Returns
    -------
    Tensor () or (n,)
        Without a factor ½. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        Bad input. Every message says what was expected and what to do.

    See Also
    --------
    gradreg_ref.doubleback : the same number from an explicit Jacobian.

    References
    ----------
    Drucker, LeCun, "Improving generalization performance using double backpropagation" (1992);
    Varga, Csiszárik, Zombori (arXiv:1712.09936), DoubleBack.
    """
    return evaluate(model, x, _LossGradient(y, loss), **options).penalty


class DoubleBack(Penalty):
    """`doubleback` as a module that keeps its options: ``DoubleBack()(model, x, y)``."""

    R = _LossGradient

    def for_loss(self, loss: Any) -> dict[str, Any]:
        """Penalise the gradient of the loss that is trained."""
        if "loss" in self.options:
            return {}
        if callable(loss):
            raise ValueError(
                "expected DoubleBack(loss=...) with a loss that returns one value per example, "
                "because the loss of objective is a batch mean; for example, use reduction='none'"
            )
        return {"loss": loss}
