"""Normalisation layers as elementary formulas.

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

from gradreg_torch._engine.batch_norm import REFUSING, refusal
from gradreg_torch._engine.graph import saved_tensor_hooks
from gradreg_torch._engine.sums import at_least_single


def _standardised(x: Tensor, dims: tuple[int, ...], eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """((x − mean) / √(var + eps), mean, var) over these axes."""
    single = at_least_single(x)
    mean = single.mean(dims, keepdim=True)
    centred = single - mean
    var = centred.square().mean(dims, keepdim=True)
    return (centred * (var + eps).rsqrt()).to(x.dtype), mean, var


def _affine(
    y: Tensor, weight: Tensor | None, bias: Tensor | None, shape: tuple[int, ...]
) -> Tensor:
    """weight · y + bias, where there are such."""
    if weight is not None:
        y = y * weight.reshape(shape)
    return y if bias is None else y + bias.reshape(shape)


def _layer_norm(
    x: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    cudnn_enable: bool = False,
) -> Tensor:
    """Normalise over the last axes of every example."""
    del cudnn_enable
    shape = (normalized_shape,) if isinstance(normalized_shape, int) else tuple(normalized_shape)
    y, _, _ = _standardised(x, tuple(range(-len(shape), 0)), eps)
    return _affine(y, weight, bias, shape)


def _batch_norm(
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
    """Normalise by batch statistics, moving the running ones, in training mode; else by those."""
    channels = (1, -1) + (1,) * (x.ndim - 2)
    if not training:
        assert running_mean is not None
        assert running_var is not None
        scale = (running_var + eps).rsqrt().reshape(channels)
        y = (x - running_mean.reshape(channels)) * scale
        return _affine(y, weight, bias, channels)
    if policy in REFUSING and x.shape[0] > 1:
        raise ValueError(refusal(policy))
    y, mean, var = _standardised(x, (0, *range(2, x.ndim)), eps)
    count = x.numel() // x.shape[1]
    _move(running_mean, mean, momentum)
    _move(running_var, var * (count / max(count - 1, 1)), momentum)
    return _affine(y, weight, bias, channels)


def _move(running: Tensor | None, value: Tensor, momentum: float) -> None:
    """running ← (1 − momentum) running + momentum · value."""
    if running is not None:
        running.lerp_(value.detach().flatten().to(running.dtype), momentum)


def _instance_norm(
    x: Tensor,
    running_mean: Tensor | None = None,
    running_var: Tensor | None = None,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Tensor:
    """Normalise over the space of each channel; statistics, if kept, are batch means."""
    channels = (1, -1) + (1,) * (x.ndim - 2)
    if not use_input_stats:
        return _batch_norm(x, running_mean, running_var, weight, bias, eps=eps)
    y, mean, var = _standardised(x, tuple(range(2, x.ndim)), eps)
    count = x[0, 0].numel()
    _move(running_mean, mean.mean(0), momentum)
    _move(running_var, var.mean(0) * (count / max(count - 1, 1)), momentum)
    return _affine(y, weight, bias, channels)


FORMULAS: dict[Callable[..., Any], Callable[..., Tensor]] = {
    F.layer_norm: _layer_norm,
    torch.layer_norm: _layer_norm,
    F.batch_norm: _batch_norm,
    F.instance_norm: _instance_norm,
}


class Decomposed(TorchFunctionMode):
    """Context in which the formulas above compute normalisations; checkpoints are refused.

    Parameters
    ----------
    policy : {"batch", "eval", "error", "own R"}
        What batch norm in training mode does; see `_batch_norm`.
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
