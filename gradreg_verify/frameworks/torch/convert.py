"""A network of the reference as a torch module with the same parameters."""

from collections.abc import Callable
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from gradreg_ref import networks as ref
from gradreg_ref.networks import Layer, Network


class _Square(nn.Module):
    """x ↦ x²."""

    def forward(self, x: Tensor) -> Tensor:
        """x·x."""
        return x * x


class _Residual(nn.Module):
    """x ↦ x + body(x)."""

    def __init__(self, body: nn.Sequential) -> None:
        super().__init__()
        self.body = body

    def forward(self, x: Tensor) -> Tensor:
        """x + body(x)."""
        out: Tensor = x + self.body(x)
        return out


class _FixedDropout(nn.Module):
    """x ↦ mask · x / keep, the mask given."""

    mask: Tensor

    def __init__(self, mask: Tensor, keep: float) -> None:
        super().__init__()
        self.register_buffer("mask", mask)
        self.keep = keep

    def forward(self, x: Tensor) -> Tensor:
        """x · (mask / keep)."""
        return x * (self.mask / self.keep)


_UNDRAWN = "meta"  # a device on which no weights are drawn
_ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "relu": nn.ReLU,
    "tanh": nn.Tanh,
    # torch's softplus is linear above `threshold`; at 40 that is below rounding.
    "softplus": lambda: nn.Softplus(threshold=40),
    "gelu": nn.GELU,
    "silu": nn.SiLU,
    "square": _Square,
}


def to_torch(
    network: Network, *, dtype: torch.dtype = torch.float64, device: str | torch.device = "cpu"
) -> nn.Sequential:
    """The network as `nn.Sequential` in evaluation mode, its parameters copied.

    Parameters
    ----------
    network : gradreg_ref.networks.Network
        Its parameters come in the same order as ``module.parameters()``.
    dtype, device
        Of the module.

    Raises
    ------
    TypeError
        A layer this backend does not know.
    """
    if not isinstance(network, Network):
        raise TypeError(f"expected a Network of gradreg_ref, got {type(network).__name__}")
    return _module_of(network.layers).eval().to(dtype=dtype, device=device)


@lru_cache(maxsize=256)
def shared_module(network: Network, dtype: torch.dtype, device: str) -> nn.Module:
    """The network as a module, made once for calls at the same network; nobody may change it."""
    return to_torch(network, dtype=dtype, device=device)


def copy_of(module: nn.Module) -> nn.Module:
    """An equal module that shares nothing with this one; `deepcopy` takes longer than a call."""
    new: nn.Module = type(module).__new__(type(module))
    held = vars(module)
    vars(new).update({k: v.copy() if hasattr(v, "copy") else v for k, v in held.items()})
    for name, parameter in module._parameters.items():
        if parameter is not None:
            new._parameters[name] = nn.Parameter(parameter.detach().clone())
    for name, buffer in module._buffers.items():
        new._buffers[name] = None if buffer is None else buffer.clone()
    for name, part in module._modules.items():
        new._modules[name] = None if part is None else copy_of(part)
    return new


def _module_of(layers: tuple[Layer, ...]) -> nn.Sequential:
    """Layers in a row, each as a module."""
    return nn.Sequential(*(_layer_to_torch(layer) for layer in layers))


def _layer_to_torch(layer: Any) -> nn.Module:
    """Convert one layer of the reference to a torch module in float64."""
    match layer:
        case ref.Linear(W, b):
            linear = nn.Linear(W.shape[1], W.shape[0], b is not None, device=_UNDRAWN)
            return _with_weights(linear, W, b)
        case ref.Conv2d(W, b, stride, padding):
            o, c, h, w = W.shape
            conv = nn.Conv2d(c, o, (h, w), stride, padding, bias=b is not None, device=_UNDRAWN)
            return _with_weights(conv, W, b)
        case ref.BatchNorm(W, b, mean, var, eps):
            norm = _with_weights(_AnyBatchNorm(len(W), eps=eps), W, b)
            norm.running_mean, norm.running_var = _tensor(mean), _tensor(var)
            return norm
        case ref.Activation(name):
            return _ACTIVATIONS[name]()
        case ref.AvgPool2d(size, stride):
            return nn.AvgPool2d(size, stride)
        case ref.MaxPool2d(size, stride):
            return nn.MaxPool2d(size, stride)
        case ref.Flatten():
            return nn.Flatten()
        case ref.Dropout(mask, keep):
            return _FixedDropout(_tensor(mask), keep)
        case ref.Residual(body):
            return _Residual(_module_of(body))
    raise TypeError(f"expected a layer of gradreg_ref.networks, got {type(layer).__name__}")


class _AnyBatchNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm of inputs (n, c, …) of any rank, as the reference has it."""

    def _check_input_dim(self, input: Tensor) -> None:
        pass


def _tensor(a: Any) -> Tensor:
    """A copy in float64."""
    return torch.tensor(np.asarray(a), dtype=torch.float64)


def _with_weights(module: Any, weight: Any, bias: Any) -> Any:
    """The module with these parameters."""
    module._parameters["weight"] = nn.Parameter(_tensor(weight))
    if bias is not None:
        module._parameters["bias"] = nn.Parameter(_tensor(bias))
    return module
