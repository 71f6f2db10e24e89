"""The modules behind a callable: what a lambda, a bound method or a partial function holds.

Messages tell people to write ``lambda x: model(inputs_embeds=x).logits``. A wrapper for data
parallel training, a compiled part or batch norm's running statistics must be seen through it.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from types import FunctionType, MethodType, ModuleType
from typing import Any

from torch import Tensor, nn

Buffers = dict[tuple[int, str], Tensor]
MOST = 200  # objects that are looked at


def held_modules(function: Callable[..., Any]) -> tuple[nn.Module, ...]:
    """The module itself, or the modules that a callable can reach by its own names.

    Looked at: arguments of `functools.partial`, ``self`` of a method, closures, defaults, globals
    that the code names, attributes, and the items of lists and dicts among these.
    """
    found: dict[int, nn.Module] = {}
    seen: set[int] = set()
    waiting: list[Any] = [function]
    while waiting and len(seen) < MOST:
        one = waiting.pop(0)
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, nn.Module):
            found[id(one)] = one
        else:
            waiting += _behind(one)
    return tuple(found.values())


def _behind(one: Any) -> list[Any]:
    """What an object holds, where it may hold a module."""
    if isinstance(one, partial):
        return [one.func, *one.args, *one.keywords.values()]
    if isinstance(one, MethodType):
        return [one.__self__, one.__func__]
    if isinstance(one, FunctionType):
        return _behind_function(one)
    if isinstance(one, list | tuple):
        return list(one[:MOST])
    if isinstance(one, dict):
        return list(one.values())[:MOST]
    if isinstance(one, type | Tensor | ModuleType):
        return []
    own = list(getattr(one, "__dict__", {}).values())[:MOST]
    return [*own, type(one).__call__] if callable(one) else own


def _behind_function(function: FunctionType) -> list[Any]:
    """Cells of the closure, defaults, attributes, and globals by name; torch's own hold nothing."""
    if (function.__module__ or "").split(".")[0] == "torch":
        return list(vars(function).values())
    named = [function.__globals__.get(name) for name in function.__code__.co_names]
    cells = [_content(cell) for cell in function.__closure__ or ()]
    return [*cells, *(function.__defaults__ or ()), *vars(function).values(), *named]


def _content(cell: Any) -> Any:
    """What a cell holds; None where it is still empty."""
    try:
        return cell.cell_contents
    except ValueError:
        return None


def named_parameters(modules: tuple[nn.Module, ...]) -> dict[str, Tensor]:
    """The parameters of modules by name; of several modules, with the number of the module."""
    return {
        name if len(modules) == 1 else f"{i}:{name}": p
        for i, module in enumerate(modules)
        for name, p in module.named_parameters()
    }


def parts_of(modules: tuple[nn.Module, ...]) -> tuple[nn.Module, ...]:
    """The modules and all that they are made of."""
    parts = list(dict.fromkeys(modules))
    seen = set(parts)
    for part in parts:  # which grows while it is read
        for child in part._modules.values():
            if child is not None and child not in seen:
                seen.add(child)
                parts.append(child)
    return tuple(parts)


def buffers_of(parts: tuple[nn.Module, ...]) -> Buffers:
    """The buffers of these parts, each once, by the number of a part and their name."""
    found = {id(b): (i, name, b) for i, name, b in reversed(_places(parts))}
    return {(i, name): b for i, name, b in reversed(found.values())}


@contextmanager
def swapped(parts: tuple[nn.Module, ...], buffers: Buffers) -> Iterator[None]:
    """Inside it the parts have these buffers; afterwards their own, untouched.

    A buffer that two parts share is one buffer inside it, too.
    """
    own, places = buffers_of(parts), _places(parts)
    stands_in = {id(own[key]): new for key, new in buffers.items()}
    try:
        for i, name, b in places:
            setattr(parts[i], name, stands_in[id(b)])
        yield
    finally:
        for i, name, b in places:
            setattr(parts[i], name, b)


def _places(parts: tuple[nn.Module, ...]) -> list[tuple[int, str, Tensor]]:
    """Where a buffer is: the number of the part, its name there, and the buffer."""
    return [
        (i, name, b)
        for i, part in enumerate(parts)
        for name, b in part._buffers.items()
        if b is not None
    ]
