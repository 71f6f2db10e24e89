"""Normalisation layers as elementary formulas, and what batch norm in training mode does.

torch 2.13 differentiates the kernels of layer norm, instance norm and training batch norm wrongly
in forward mode, without a word: right value, wrong parameter gradient. In the formulas below every
operation has right derivatives of every order.
"""

from collections.abc import Callable
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gradreg_torch.graph import saved_tensor_hooks
from gradreg_torch.sums import at_least_single


def standardised(x: Tensor, dims: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """((x − mean) / √(var + eps), mean, var) over these axes."""
    single = at_least_single(x)
    mean = single.mean(dims, keepdim=True)
    centred = single - mean
    var = centred.square().mean(dims, keepdim=True)
    return (centred * (var + eps).rsqrt()).to(x.dtype), mean, var


def affine(y: Tensor, weight: Tensor | None, bias: Tensor | None, shape: tuple[int, ...]) -> Tensor:
    """weight · y + bias, where there are such."""
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def layer_norm(
    x: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = False,
) -> Tensor:
    """Over the last axes of every example."""
    del cudnn_enable
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    y, _, _ = standardised(x, tuple(range(-len(shape), 0)), eps)
    return affine(y, weight, bias, shape)


def batch_norm(
    x: Tensor,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    *,
    policy: str = "batch",
) -> Tensor:
    """Over batch and space in training mode, moving the running statistics; else with those."""
    channels = (1, -1) + (1,) * (x.ndim - 2)
    if not training:
        assert running_mean is not None
        assert running_var is not None
        scale = (running_var + eps).rsqrt().reshape(channels)
        y = (x - running_mean.reshape(channels)) * scale
        return affine(y, weight, bias, channels)
    if policy in REFUSING and x.shape[0] > 1:
        raise ValueError(couples(policy))
    y, mean, var = standardised(x, (0, *range(2, x.ndim)), eps)
    count = x.numel() // x.shape[1]
    move(running_mean, mean, momentum)
    move(running_var, var * (count / max(count - 1, 1)), momentum)
    return affine(y, weight, bias, channels)


def move(running: Tensor | None, value: Tensor, momentum: float) -> None:
    """running ← (1 − momentum) running + momentum · value."""
    if running is not None:
        running.lerp_(value.detach().flatten().to(running.dtype), momentum)


def instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Over the space of every example and channel; statistics, if kept, are batch means."""
    channels = (1, -1) + (1,) * (x.ndim - 2)
    if not use_input_stats:
        return batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    y, mean, var = standardised(x, tuple(range(2, x.ndim)), eps)
    count = x[0, 0].numel()
    move(running_mean, mean.mean(0), momentum)
    move(running_var, var.mean(0) * (count / max(count - 1, 1)), momentum)
    return affine(y, weight, bias, channels)


FORMULAS: dict[Callable[..., Any], Callable[..., Tensor]] = {
    F.layer_norm: layer_norm,
    torch.layer_norm: layer_norm,
    F.batch_norm: batch_norm,
    F.instance_norm: instance_norm,
}


class Decomposed(TorchFunctionMode):
    """Inside it normalisations are computed by the formulas above, and checkpoints are refused.

    Parameters
    ----------
    policy : {"batch", "eval", "error", "own R"}
        What batch norm in training mode does; see `couples`.
    """

    def __init__(self, policy: str) -> None:
        super().__init__()
        self.policy, self.hooks = policy, saved_tensor_hooks()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The formula, where there is one."""
        if saved_tensor_hooks() != self.hooks:
            raise ValueError(
                "expected a model without checkpointing here, got hooks on saved tensors, which "
                "would recompute in the backward pass without tangents; pass mode='reverse'"
            )
        kwargs = kwargs or {}
        if func is F.batch_norm:
            kwargs = {**kwargs, "policy": self.policy}
        return FORMULAS.get(func, func)(*args, **kwargs)


class RunningStatistics(TorchFunctionMode):
    """Inside it batch norm in training mode uses its running statistics: batchnorm="eval".

    Every example is then a function of itself alone.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Batch norm with ``training=False``."""
        kwargs = dict(kwargs or {})
        if func is F.batch_norm:
            args, kwargs = self.fixed(*args, **kwargs)
        return func(*args, **kwargs)

    def fixed(
        self, x: Tensor, running_mean: Any, running_var: Any, *rest: Any, **options: Any
    ) -> tuple[Any, dict[str, Any]]:
        """The arguments of batch norm in evaluation mode."""
        names = ("weight", "bias", "training", "momentum", "eps")
        options |= dict(zip(names, rest, strict=False))
        if options.get("training"):
            if running_mean is None:
                raise ValueError(couples("eval"))
            options["training"] = False
        return (x, running_mean, running_var), options


# What refuses it: OWN_R is "batch" for an R that is one for all examples, LOGITS "eval" too late.
OWN_R, LOGITS = "own R", "of logits"
REFUSING = ("error", OWN_R, LOGITS)


def couples(policy: str) -> str:
    """What to do about batch norm in training mode."""
    if policy == LOGITS:
        return (
            "expected the model itself with batchnorm='eval', got logits that batch norm in "
            "training mode has been applied to already; pass the model in their place"
        )
    if policy == OWN_R:
        return (
            "expected examples that do not see each other, as R is the same for all of them "
            "(frobreg, exact jacreg, shared_probe=True), got batch norm in training mode: added up "
            "over the batch their derivatives cancel, behind a last batch norm to zero; pass "
            "batchnorm='eval', or use spectreg (or jacreg with num_probes=1), which draws for each"
        )
    return (
        f"expected a function of every example alone (batchnorm={policy!r}), got batch norm in "
        "training mode, which couples the examples of a batch; pass batchnorm='batch' for the "
        "derivative of the whole batch, or batchnorm='eval' to use running statistics where kept"
    )
