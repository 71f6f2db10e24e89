"""The modules behind a callable: what a lambda, a bound method or a partial function holds.

Messages tell people to write ``lambda x: model(inputs_embeds=x).logits``. A wrapper for data
parallel training, a compiled part or batch norm's running statistics must be seen through it.
"""

from collections import deque
from collections.abc import Callable, Iterable, MappingView
from functools import partial
from itertools import islice
from types import (
    BuiltinMethodType,
    CodeType,
    FunctionType,
    MappingProxyType,
    MethodType,
    ModuleType,
    NoneType,
)
from typing import Any
from weakref import ReferenceType

from torch import Tensor, nn

_OF_ALL_MODELS = "torch", "gradreg_torch"
MOST, _MOST_ITEMS = 200, 10_000  # objects searched, and items of one container
# Types that hold no module and do not count.
_PLAIN = (NoneType, bool, int, float, complex, str, bytes, Tensor)
_CONTAINERS: tuple[Any, ...] = (list, tuple, set, frozenset, deque, MappingView)
HOLDING = (nn.Module, dict, *_CONTAINERS)  # types of class attributes that are searched


def held_modules(function: Callable[..., Any]) -> tuple[nn.Module, ...]:
    """The module itself, or the modules that a callable can reach by its own names.

    Looked at: arguments of `functools.partial`, ``self`` of a method, closures, defaults, globals
    that the code names (also of a module or a class that it names), attributes, weak references,
    and the items of Python's containers among these.
    """
    found: dict[int, nn.Module] = {}
    seen: dict[int, Any] = {}  # keeps the objects alive, so that no id is used twice
    waiting: deque[Any] = deque([function])
    while waiting and len(seen) < MOST:
        one = waiting.popleft()
        if id(one) in seen:
            continue
        seen[id(one)] = one
        if isinstance(one, nn.Module):
            found[id(one)] = one
        else:
            waiting += (other for other in behind(one) if not isinstance(other, _PLAIN))
    return tuple(found.values())


def behind(one: Any) -> Iterable[Any]:
    """Return what an object holds, where it may hold a module."""
    if isinstance(one, partial):
        return [one.func, *one.args, *one.keywords.values()]
    if isinstance(one, MethodType):
        return [one.__self__, *_methods(type(one.__self__), one.__func__)]
    if isinstance(one, BuiltinMethodType):
        return [one.__self__]
    if isinstance(one, FunctionType):
        return _behind_function(one)
    if isinstance(one, ReferenceType):
        return [one()]
    if isinstance(one, type | ModuleType):
        return []
    return [*_items(one), *_attributes(one)]


def _items(one: Any) -> Iterable[Any]:
    """Items of a container of Python's own, which can be read without side effects."""
    if isinstance(one, dict | MappingProxyType):
        return [*_items(one.keys()), *_items(one.values())]
    return islice(one, _MOST_ITEMS) if isinstance(one, _CONTAINERS) else ()


def _attributes(one: Any) -> list[Any]:
    """An object's own, those of its class, and what its `__call__` reaches."""
    kind = type(one)
    own = list(getattr(one, "__dict__", {}).values())
    if kind.__module__ == "builtins":
        return own
    classes = [vars(c) for c in kind.__mro__ if c.__module__ != "builtins"]
    slots = [getattr(one, name, None) for c in classes for name in _slots(c)]
    of_class = [v for c in classes for v in c.values() if isinstance(v, HOLDING)]
    call = _methods(kind, kind.__call__) if callable(one) else []
    return [*own, *slots, *of_class, *call]


def _slots(of_class: Any) -> Iterable[str]:
    """The names of attributes that are not in `__dict__`."""
    names = of_class.get("__slots__", ())
    return (names,) if isinstance(names, str) else names


def _methods(kind: type, first: Any) -> list[Any]:
    """A method, and those of the class that it names, and so on."""
    found = [first]
    for method in found:  # the loop appends to it
        if isinstance(method, FunctionType):
            named = (_unbound(kind, name) for name in _names(method.__code__))
            found += (m for m in named if isinstance(m, FunctionType) and m not in found)
    return found


def _unbound(owner: Any, name: str) -> Any:
    """Return what a class or a module has by this name, without running code of theirs."""
    for place in owner.__mro__ if isinstance(owner, type) else (owner,):
        if name in vars(place):
            value = vars(place)[name]
            return getattr(value, "__func__", value)
    return None


def _behind_function(function: FunctionType) -> list[Any]:
    """Cells of the closure, defaults, attributes, and globals by name.

    The globals of torch and of this package hold no part of a model, but tables of all models.
    """
    if (function.__module__ or "").split(".")[0] in _OF_ALL_MODELS:
        return list(vars(function).values())
    names = _names(function.__code__)
    cells = [content(cell) for cell in function.__closure__ or ()]
    named = [function.__globals__.get(name) for name in names]
    reached = [*cells, *named]
    for owner in reached:  # the loop appends to it
        if isinstance(owner, type | ModuleType) and owner.__name__.split(".")[0] != "torch":
            inside = (_unbound(owner, name) for name in names)
            reached += (v for v in inside if v is not None and not any(v is r for r in reached))
    defaults = [*(function.__defaults__ or ()), *(function.__kwdefaults__ or {}).values()]
    return [*reached, *defaults, *vars(function).values()]


def _names(code: CodeType) -> list[str]:
    """The globals and attributes that code names, and the functions inside it."""
    inner = (c for c in code.co_consts if isinstance(c, CodeType))
    return list(dict.fromkeys([*code.co_names, *(name for c in inner for name in _names(c))]))


def content(cell: Any) -> Any:
    """Return what a cell holds; None where it is still empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return None
