"""Decisions of a model: comparisons, masks, indices and roundings, constant on a piece.

``torch.where(h > 0, h, h / 10)`` is a leaky ReLU, although no function has that name. Passes beside
x therefore repeat the decision ``h > 0`` of the pass at x. A decision is a tensor of whole numbers
or truth values that a function computes from floating numbers.
"""

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

# Their values are floating numbers, and constant on a piece.
_STEPS: set[Callable[..., Any]] = {
    getattr(where, name)
    for where in (torch, Tensor)
    for name in ("sign", "sgn", "floor", "ceil", "round", "trunc", "fix", "heaviside")
    if hasattr(where, name)
}


def decided(func: Any, out: Any, given: Iterable[Any]) -> bool:
    """Whether a result, or a part of it, is a decision about what is given."""
    if func in _STEPS:
        return True
    if isinstance(out, Tensor):
        return _is_whole(out) and any(isinstance(t, Tensor) and not _is_whole(t) for t in given)
    return isinstance(out, tuple) and any(isinstance(t, Tensor) and _is_whole(t) for t in out)


def _is_whole(t: Tensor) -> bool:
    """Whether the entries are whole numbers or truth values."""
    return not (t.is_floating_point() or t.is_complex())


def held(func: Any, out: Any, kept: Any) -> Any:
    """The result with decisions as they were kept."""
    if func in _STEPS or isinstance(out, Tensor):
        return kept.clone()
    parts = [k.clone() if isinstance(k, Tensor) else o for o, k in zip(out, kept, strict=True)]
    return type(out)(parts)


def to_keep(func: Any, out: Any) -> Any:
    """The decisions of a result."""
    if func in _STEPS or isinstance(out, Tensor):
        return out.detach().clone()
    return tuple(t.clone() if isinstance(t, Tensor) and _is_whole(t) else None for t in out)


class Watch(TorchFunctionMode):
    """A context that records whether the model takes a decision."""

    seen = False

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The function, as it is."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.seen = self.seen or decided(func, out, (*args, *kwargs.values()))
        return out
