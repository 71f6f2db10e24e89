"""Which callables were tried already, recognised by the objects that they are made of.

A training loop may make a new lambda in each step, from the same objects. An id alone says
little: Python uses the id again for another object when the first one is deleted.
"""

from collections import deque
from collections.abc import Callable, Hashable
from functools import partial
from types import BuiltinMethodType
from typing import Any
from weakref import ref

from gradreg_torch._engine.holding import content

_LAST = 8
_PLAIN = (bool, int, float, complex, str)


class Seen:
    """The last callables that were tried, each with the name of what was tried."""

    def __init__(self) -> None:
        self._last: deque[tuple[Hashable, list[Callable[[], Any]]]] = deque(maxlen=_LAST)

    def __reduce__(self) -> tuple[type["Seen"], tuple[()]]:
        """A copy has seen nothing: references to objects cannot be copied."""
        return Seen, ()

    def has(self, function: Callable[..., Any], what: Hashable) -> bool:
        """Whether a callable of the same objects was added."""
        parts = _parts(function)
        return any(
            what == tried and len(kept) == len(parts) and all(map(_same, kept, parts))
            for tried, kept in self._last
        )

    def add(self, function: Callable[..., Any], what: Hashable) -> None:
        """Remember a callable."""
        self._last.append((what, list(map(_reference, _parts(function)))))


def _parts(function: Any) -> list[Any]:
    """The objects by which callables differ: code, cells, globals, arguments, a method's owner."""
    if isinstance(function, partial):
        keywords = function.keywords
        return [*_parts(function.func), *function.args, *keywords, *keywords.values()]
    if hasattr(function, "__code__"):
        cells = [content(cell) for cell in getattr(function, "__closure__", None) or ()]
        every = getattr(function, "__globals__", {})
        named = [every.get(name) for name in function.__code__.co_names]
        by_name = getattr(function, "__kwdefaults__", None) or {}
        defaults = [*(getattr(function, "__defaults__", None) or ()), *by_name, *by_name.values()]
        owner = getattr(function, "__self__", None)
        return [function.__code__, *cells, *named, *defaults, owner]
    if isinstance(function, BuiltinMethodType):  # of a torch.autograd.Function: apply
        return [function.__self__, function.__name__]
    return [function]


def _reference(one: Any) -> Callable[[], Any]:
    """A weak reference to an object, where the object allows one."""
    try:
        return ref(one)
    except TypeError:
        return lambda: one


def _same(kept: Callable[[], Any], one: Any) -> bool:
    """Whether an object is the one that was kept, or an equal number or string."""
    other = kept()
    return other is one or (type(one) in _PLAIN and type(other) is type(one) and other == one)
