"""A torch module as a network of the reference with the same parameters."""

from typing import Any

from torch import nn

from gradreg_ref import networks as ref
from gradreg_ref.networks import Layer, Network
from gradreg_verify.frameworks.torch.convert import ACTIVATIONS, FixedDropout, Residual


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
        case Residual():
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
        case FixedDropout():
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
    for name, make in ACTIVATIONS.items():
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
