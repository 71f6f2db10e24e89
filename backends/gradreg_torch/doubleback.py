"""DoubleBack: the squared input gradient of the loss, a projection of the logits Jacobian."""

from typing import Any

from torch import Tensor

from gradreg_torch import checks
from gradreg_torch.contraction import contract, reduce
from gradreg_torch.forward_pass import Inputs, ModelOrLogits, Wrt, forward_pass
from gradreg_torch.losses import Loss, loss_gradient
from gradreg_torch.penalty import Penalty


def doubleback(
    model: ModelOrLogits,
    x: Inputs,
    y: Tensor,
    *,
    loss: Loss = "cross_entropy",
    mode: str = "auto",
    batchnorm: str = "batch",
    wrt: Wrt = None,
    reduction: str = "mean",
    check_values: bool | None = None,
) -> Tensor:
    """‖∂L/∂x‖² = ‖JᵀR‖² with R = ∂L/∂z; for cross-entropy R = p − onehot(y).

    R depends on the parameters through z and is never detached: it takes part in the gradient.

    Parameters
    ----------
    model, x, mode, batchnorm, wrt, reduction, check_values
        As in `frobreg`; there is no forward mode.
    y : Tensor
        Labels (n,) or class probabilities (n, k) for cross-entropy; targets of the shape of the
        outputs for mean_squared_error.
    loss : {"cross_entropy", "mean_squared_error"} or callable
        L of *one example*; mean_squared_error is the mean over its outputs, without ½. A callable
        takes (outputs, y) and returns (n,) losses: reduction="none", whatever you train with.

    Returns
    -------
    Tensor () or (n,)
        No ½. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        See `gradreg_torch.checks`: every message says what to do.

    See Also
    --------
    gradreg_ref.doubleback : the same number from an explicit Jacobian.

    References
    ----------
    Drucker, LeCun, "Improving generalization performance using double backpropagation" (1992);
    Varga, Csiszárik, Zombori (arXiv:1712.09936), DoubleBack.
    """
    checks.not_forward(mode)
    with forward_pass(model, x, wrt, check_values, mode=mode, batchnorm=batchnorm) as f:
        R = loss_gradient(f, y, loss)[:, :, None]
        values = contract(f, R)
    return reduce(f, values, reduction)


class DoubleBack(Penalty):
    """`doubleback` with its options kept: ``DoubleBack()(model, x, y)``."""

    function = staticmethod(doubleback)
    takes_labels = True

    def for_loss(self, loss: Any) -> dict[str, Any]:
        """The gradient that is penalised is that of the loss that is trained."""
        if "loss" in self.options:
            return {}
        if callable(loss):
            raise ValueError(
                "expected DoubleBack(loss=...) with the per-example form of your loss, since the "
                "objective's is a batch mean; for example one with reduction='none'"
            )
        return {"loss": loss}
