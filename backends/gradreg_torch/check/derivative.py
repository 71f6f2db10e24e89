"""The penalty's parameter gradient, held against differences of the penalty's own value.

Nothing is differentiated twice to judge a double backward: D = (P(θ + hδ) − P(θ − hδ)) / 2h along
directions δ, in float64, with h small enough for few ReLUs to switch on the way.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

_STEP = 1e-8  # of every parameter's own size: a longer one meets kinks in a residual net
_LIMIT = 1e-3  # of the derivative: differences are good to about 1e-6 here
_Parameters = dict[str, Tensor]


_LOW = (torch.float32, torch.float16, torch.bfloat16)
_TO_LOW = {Tensor.float, Tensor.half, Tensor.bfloat16}


class _Double(TorchFunctionMode):
    """Conversions to a lower precision are to float64: norms of language models compute in float32,
    and differences of their values with so short a step would drown in rounding.
    """

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The function, with float64 in place of a lower precision."""
        if func in _TO_LOW:
            return args[0].double()
        if func is not Tensor.view:  # the same bytes, read in another way
            args = [_doubled(a) for a in args]
            kwargs = {name: _doubled(a) for name, a in (kwargs or {}).items()}
        return func(*args, **kwargs or {})


def _doubled(a: Any) -> Any:
    """float64 for a lower precision; other arguments as they are."""
    return torch.float64 if isinstance(a, torch.dtype) and a in _LOW else a


class _Compared(NamedTuple):
    """|⟨g, δ⟩ − D| as a part of the derivative; right is None where D is too uncertain to say."""

    off: float
    right: bool | None


@contextmanager
def in_float64(modules: tuple[nn.Module, ...]) -> Iterator[None]:
    """Have the modules compute in float64 inside the context; restore parameters bit for bit."""
    tensors = {t for m in modules for t in (*m.parameters(), *m.buffers()) if t.is_floating_point()}
    kept = [(t, t.data, t.grad) for t in tensors]
    try:
        for t, data, _ in kept:
            t.grad = None
            t.data = data.double()
        with _Double():
            yield
    finally:
        for t, data, grad in kept:
            t.data = data
            t.grad = grad


def directions(parameters: _Parameters, seed: int) -> _Parameters:
    """A random direction, each tensor of the size of its parameter."""
    found = {}
    for i, (name, p) in enumerate(parameters.items()):
        generator = torch.Generator().manual_seed(1000 * seed + i)
        noise = torch.randn(p.shape, generator=generator, dtype=torch.float64)
        size = p.detach().double().square().mean().sqrt().cpu()
        found[name] = (noise * (size if size > 0 else 1.0)).to(p.device, p.dtype)
    return found


def compared(
    value: Callable[[], float], parameters: _Parameters, gradient: _Parameters, delta: _Parameters
) -> _Compared:
    """The gradient along δ, and differences of the value."""

    def at(h: float) -> float:
        with _moved(parameters, delta, h):
            return value()

    along = [gradient[name].detach() * d for name, d in delta.items()]
    got = sum(float(a.sum()) for a in along)
    size = sum(float(a.square().sum()) for a in along) ** 0.5
    whole, quarter = ((at(h) - at(-h)) / (2 * h) for h in (_STEP, _STEP / 4))
    apart, scale = abs(got - whole), max(abs(got), abs(whole), size / 10)
    off = apart / scale if scale > 0 else 0.0
    rounding = 16 * torch.finfo(torch.float64).eps * abs(value()) / _STEP
    sure = apart > 4 * (rounding + abs(whole - quarter))
    return _Compared(off, True if off <= _LIMIT else False if sure else None)


@contextmanager
def beside(parameters: _Parameters) -> Iterator[None]:
    """Move the parameters by a tenth of their size inside the context, and restore them."""
    with _moved(parameters, directions(parameters, 3), 0.1):
        yield


@contextmanager
def _moved(parameters: _Parameters, delta: _Parameters, h: float) -> Iterator[None]:
    """Move θ to θ + hδ inside the context, and restore θ bit for bit."""
    kept = {name: parameters[name].detach().clone() for name in delta}
    try:
        with torch.no_grad():
            for name, d in delta.items():
                parameters[name].copy_(kept[name] + h * d)
        yield
    finally:
        with torch.no_grad():
            for name, p in kept.items():
                parameters[name].copy_(p)
