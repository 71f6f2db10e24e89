"""A network of the reference as a torch module with the same parameters, and back."""

from collections.abc import Callable
from functools import cache
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
    module = _module_of(network.layers).eval()
    as_made = dtype == torch.float64 and torch.device(device).type == "cpu"
    return module if as_made else module.to(dtype=dtype, device=device)


def _module_of(layers: tuple[Layer, ...]) -> nn.Sequential:
    """Layers in a row, each as a module."""
    return nn.Sequential(*(_layer_to_torch(layer) for layer in layers))


def _layer_to_torch(layer: Any) -> nn.Module:
    """One layer of the reference as a torch module in float64."""
    match layer:
        case ref.Linear(W, b):
            return _with_weights(_undrawn(nn.Linear, W.shape[1], W.shape[0], b is not None), W, b)
        case ref.Conv2d(W, b, stride, padding):
            o, c, *size = W.shape
            conv = _undrawn(nn.Conv2d, c, o, tuple(size), stride, padding, bias=b is not None)
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


def _undrawn(layer: Any, *args: Any, **options: Any) -> nn.Module:
    """A layer that has drawn no weights: making one takes longer than most calls of a penalty.

    It shares nothing with others but the parameters, which `_with_weights` replaces.
    """
    module: nn.Module = layer.__new__(layer)
    made = _made(layer, *args, **options)
    vars(module).update(
        {name: held.copy() if hasattr(held, "copy") else held for name, held in vars(made).items()}
    )
    return module


@cache
def _made(layer: Any, *args: Any, **options: Any) -> nn.Module:
    """A layer of these sizes."""
    make: Any = nn.utils.skip_init
    module: nn.Module = make(layer, *args, **options)
    return module


def _with_weights(module: Any, weight: Any, bias: Any) -> Any:
    """The module with these parameters."""
    module._parameters["weight"] = nn.Parameter(_tensor(weight))
    if bias is not None:
        module._parameters["bias"] = nn.Parameter(_tensor(bias))
    return module


def from_torch(module: nn.Module) -> Network:
    """A torch module as a network of the reference, in float64.

    Parameters
    ----------
    module : nn.Module
        `nn.Sequential`, nested at will, of the layers the reference has. Batch norm and dropout
        must be in evaluation mode: the reference is a function of every example alone.

    Raises
    ------
    TypeError, ValueError
        A layer, an option or a mode that the reference does not have.
    """
    if not isinstance(module, nn.Module):
        raise TypeError(f"expected an nn.Module, got {type(module).__name__}")
    names = [n for n, _ in module.named_parameters(remove_duplicate=False)]
    if len(names) != len(list(module.parameters())):
        raise ValueError("expected every layer once, got parameters that layers share")
    return Network(_layers_of(module))


def _layers_of(module: nn.Module) -> tuple[Layer, ...]:
    """The layers of a module, in order."""
    _refuse_what_is_not_the_class_s(module)
    match module:
        case nn.Sequential():
            return tuple(layer for child in module for layer in _layers_of(child))
        case _Residual():
            return (ref.Residual(_layers_of(module.body)),)
        case nn.Linear():
            return (ref.Linear(_array(module.weight), _array(module.bias)),)
        case nn.Conv2d():
            return (_conv_from_torch(module),)
        case nn.modules.batchnorm._BatchNorm():
            _require_eval(module)
            if not (module.affine and module.track_running_stats):
                raise ValueError(f"expected affine batch norm with running statistics: {module}")
            statistics = _array(module.running_mean), _array(module.running_var)
            return (
                ref.BatchNorm(_array(module.weight), _array(module.bias), *statistics, module.eps),
            )
        case nn.Dropout():
            _require_eval(module)
            return ()
        case _FixedDropout():
            return (ref.Dropout(_array(module.mask), module.keep),)
        case nn.AvgPool2d() | nn.MaxPool2d():
            return (_pool_from_torch(module),)
        case nn.Flatten() if (module.start_dim, module.end_dim) == (1, -1):
            return (ref.Flatten(),)
        case nn.Identity():
            return ()
        case nn.GELU(approximate="tanh"):
            raise ValueError("expected GELU by erf, got its tanh approximation")
        case nn.Softplus() if module.beta != 1:
            raise ValueError(f"expected Softplus with beta = 1: {module}")
    for name, make in _ACTIVATIONS.items():
        if type(module) is type(make()):
            return (ref.Activation(name),)
    raise TypeError(f"expected a layer that the reference has, got {module}")


def _refuse_what_is_not_the_class_s(module: nn.Module) -> None:
    """A subclass with a forward of its own, or hooks, computes something else."""
    own = type(module).__module__.split(".")[0] in ("torch", "gradreg_verify")
    hooks = any(len(getattr(module, name)) for name in _HOOKS)
    if not own or hooks:
        what = "with hooks" if hooks else f"of the class {type(module).__qualname__}"
        raise TypeError(f"expected a layer that the reference has, got one {what}")


_HOOKS = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks")


def _conv_from_torch(conv: nn.Conv2d) -> ref.Conv2d:
    """A convolution with one stride, one padding, one group and no dilation."""
    (stride, stride_w), (dilation, dilation_w) = conv.stride, conv.dilation
    padding = conv.padding
    plain = conv.groups == 1 and dilation == dilation_w == 1 and conv.padding_mode == "zeros"
    if not plain or stride != stride_w or isinstance(padding, str) or padding[0] != padding[1]:
        raise ValueError(f"expected square stride, zero padding, one group, no dilation: {conv}")
    return ref.Conv2d(_array(conv.weight), _array(conv.bias), stride, padding[0])


def _pool_from_torch(pool: nn.AvgPool2d | nn.MaxPool2d) -> Layer:
    """A pool with one size, one stride, no padding, no dilation."""
    size, stride = pool.kernel_size, pool.stride
    plain = pool.padding == 0 and not pool.ceil_mode and getattr(pool, "dilation", 1) == 1
    square = isinstance(size, int) and isinstance(stride, int)
    if getattr(pool, "divisor_override", None) or not (plain and square):
        raise ValueError(f"expected a square pool without padding or dilation: {pool}")
    make = ref.MaxPool2d if isinstance(pool, nn.MaxPool2d) else ref.AvgPool2d
    return make(size, stride)  # type: ignore[arg-type]


def _require_eval(module: nn.Module) -> None:
    """The reference has fixed statistics and no random masks."""
    if module.training:
        raise ValueError(f"expected {type(module).__name__} in evaluation mode; call .eval()")


def _array(t: Any) -> Any:
    """A float64 copy as NumPy array; None stays None."""
    return None if t is None else t.detach().cpu().double().numpy().copy()
