"""Batch norm in training mode, which couples the examples of a batch: found, fixed, or refused.

docs/modes.md has the definition of each policy, the proof that derivatives cancel, and an example.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm
from torch.overrides import TorchFunctionMode

# The user's policies, and two of ours: OWN_R is "batch" for an R that is one for all examples,
# OF_LOGITS is "eval" where the model has run already.
POLICIES = ("batch", "eval", "error")
OWN_R, OF_LOGITS = "own R", "of logits"
REFUSING = ("error", OWN_R, OF_LOGITS)
ALONE = (*REFUSING, "eval")  # every example is a function of itself alone


def uses_batch_statistics(model: Callable[..., Tensor]) -> bool:
    """Whether a model has batch norm in training mode; a plain callable may have."""
    return not isinstance(model, nn.Module) or has_batch_norm(model.modules())


def has_batch_norm(parts: Iterable[nn.Module]) -> bool:
    """Whether there is batch norm in training mode among these parts of a model."""
    norms = [part for part in parts if isinstance(part, _BatchNorm)]
    return any(norm.training for norm in norms)


class RunningStatistics(TorchFunctionMode):
    """A context in which batch norm in training mode uses running statistics: batchnorm="eval".

    Every example is then a function of itself alone.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Batch norm with ``training=False``."""
        return (self.fixed if func is F.batch_norm else func)(*args, **(kwargs or {}))

    def fixed(
        self,
        x: Tensor,
        running_mean: Tensor | None,
        running_var: Tensor | None,
        weight: Tensor | None = None,
        bias: Tensor | None = None,
        training: bool = False,
        momentum: float = 0.1,
        eps: float = 1e-5,
    ) -> Tensor:
        """Call `torch.nn.functional.batch_norm` in evaluation mode."""
        if training and running_mean is None:
            raise ValueError(refusal("eval"))
        return F.batch_norm(x, running_mean, running_var, weight, bias, False, momentum, eps)


def refusal(policy: str, of_torch: bool = True) -> str:
    """Say what to do about examples that depend on each other, by batch norm or otherwise."""
    if not of_torch:
        return (
            "expected a function of every example alone, got a model whose examples depend on each "
            "other: the gradient of one example's logits in another example's x is not zero. Use "
            "running statistics in place of statistics over the batch (model.eval(), where there "
            "are some), keep the batch on the first axis of x and of the logits; or pass "
            "batchnorm='batch' to a penalty that draws R for each example (spectreg, or jacreg "
            "with num_probes=1), for the derivative of the whole batch"
        )
    if policy == OF_LOGITS:
        return (
            "expected the model itself with batchnorm='eval', got logits that batch norm in "
            "training mode has been applied to already; pass the model in their place"
        )
    if policy == OWN_R:
        return (
            "expected examples that do not depend on each other, as R is the same for all of them "
            "(frobreg, exact jacreg, shared_probe=True), got batch norm in training mode: summed "
            "over the batch their derivatives cancel, after a last batch norm to zero; pass "
            "batchnorm='eval', or use spectreg (or jacreg with num_probes=1), which draws a probe "
            "per example"
        )
    return (
        f"expected a function of every example alone (batchnorm={policy!r}), got batch norm in "
        "training mode, which couples the examples of a batch; pass batchnorm='batch' for the "
        "derivative of the whole batch, or batchnorm='eval' to use running statistics where kept"
    )
