"""The penalty's parameter gradient, compared with differences of the penalty's own value.

Nothing is differentiated twice to judge a double backward: D = (P(θ + hδ) − P(θ − hδ)) / 2h along
directions δ, in float64, with h small enough for few ReLUs to switch on the way.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from gradreg_torch._engine.sums import real

_STEP = 1e-8  # of every parameter's own size: a longer one meets kinks in a residual net
_LONG_STEPS = 1e-4, 1e-3  # a function that computes in float32 in NumPy, say, moves only with these
_LIMIT = 1e-3  # of the derivative: differences are good to about 1e-6 here
_Parameters = dict[str, Tensor]


_WIDE = {
    **dict.fromkeys((torch.float32, torch.float16, torch.bfloat16), torch.float64),
    **dict.fromkeys((torch.complex64, torch.complex32), torch.complex128),
}


class _Double(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Conversions to a lower precision are to float64, in backward passes too: norms of language
    models compute in float32, and differences with so short a step would drown in rounding.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The operation, with float64 in place of a lower precision."""
        if func is not torch.ops.aten.view.dtype:  # the same bytes, read in another way
            args = [_doubled(a) for a in args]
            kwargs = {name: _doubled(a) for name, a in (kwargs or {}).items()}
        return func(*args, **kwargs or {})


def _doubled(a: Any) -> Any:
    """float64 for a lower precision; other arguments as they are."""
    return _WIDE.get(a, a) if isinstance(a, torch.dtype) else a


class _Compared(NamedTuple):
    """|⟨g, δ⟩ − D| as a part of the derivative; right is None where D is too uncertain to say."""

    off: float
    right: bool | None


@contextmanager
def in_float64(modules: tuple[nn.Module, ...]) -> Iterator[None]:
    """Have the modules compute in float64 inside the context; restore parameters bit for bit."""
    every = {t for m in modules for t in (*m.parameters(), *m.buffers())}
    kept = [(t, t.data, t.grad) for t in every if t.is_floating_point() or t.is_complex()]
    default = torch.get_default_dtype()  # models make states of the default dtype
    try:
        torch.set_default_dtype(torch.float64)
        for t, data, _ in kept:
            t.grad = None
            t.data = wide(data)
        with _Double():  # type: ignore[no-untyped-call]
            yield
    finally:
        torch.set_default_dtype(default)
        for t, data, grad in kept:
            t.data = data
            t.grad = grad


def wide(t: Tensor) -> Tensor:
    """t in float64 or complex128, unless it holds whole numbers."""
    if t.is_complex():
        return t.to(torch.complex128)
    return t.double() if t.is_floating_point() else t


def directions(parameters: _Parameters, seed: int) -> _Parameters:
    """A random direction, each tensor of the size of its parameter."""
    found = {}
    for i, (name, p) in enumerate(parameters.items()):
        generator = torch.Generator("cpu").manual_seed(1000 * seed + i)
        p = real(p.detach())
        noise = torch.randn(p.shape, generator=generator, dtype=torch.float64, device="cpu")
        size = p.double().square().mean().sqrt().cpu()
        found[name] = (noise * (size if size > 0 else 1.0)).to(p.device, p.dtype)
    return found


def compared(
    value: Callable[[], float], parameters: _Parameters, gradient: _Parameters, delta: _Parameters
) -> _Compared:
    """The gradient along δ, and differences of the value."""

    def difference(h: float) -> float:
        with _moved(parameters, delta, h):
            above = value()
        with _moved(parameters, delta, -h):
            return (above - value()) / (2 * h)

    along = [real(gradient[name].detach()) * d for name, d in delta.items()]
    got = sum(float(a.sum()) for a in along)
    size = sum(float(a.square().sum()) for a in along) ** 0.5

    def part(expected: float) -> float:
        scale = max(abs(got), abs(expected), size / 10)
        return abs(got - expected) / scale if scale > 0 else 0.0

    whole, quarter = difference(_STEP), difference(_STEP / 4)
    apart, off = abs(got - whole), part(whole)
    if off > _LIMIT:
        off = min(off, *(part(difference(h)) for h in _LONG_STEPS))
    rounding = 16 * torch.finfo(torch.float64).eps * abs(value()) / _STEP
    sure = apart > 4 * (rounding + abs(whole - quarter))
    return _Compared(off, True if off <= _LIMIT else False if sure else None)


@contextmanager
def beside(parameters: _Parameters) -> Iterator[None]:
    """Move the parameters by a tenth of their size inside the context, and restore them."""
    with _moved(parameters, directions(parameters, 3), 0.1):
        yield


def away_from_zero(parameters: _Parameters, value: float) -> AbstractContextManager[None]:
    """Move the parameters inside the context if the value, or one of them, is zero.

    What is behind a last layer, or a gate, of zeros has no derivative there, and shows nothing.
    """
    some = value == 0 or any(not p.any() for p in parameters.values())
    return beside(parameters) if some else nullcontext()


@contextmanager
def _moved(parameters: _Parameters, delta: _Parameters, h: float) -> Iterator[None]:
    """Move θ to θ + hδ inside the context, and restore θ bit for bit."""
    own = {name: real(parameters[name].detach()) for name in delta}  # they share memory
    kept = {name: p.clone() for name, p in own.items()}
    try:
        for name, d in delta.items():
            own[name].copy_(kept[name] + h * d)
        yield
    finally:
        for name, p in kept.items():
            own[name].copy_(p)
