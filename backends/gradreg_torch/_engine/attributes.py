"""What a pass may change beside parameters and buffers: plain attributes, containers, generators.

A model may keep its last activations, a running mean in a plain attribute, a list of losses, or a
generator of its own. All of them are put back after a check, and after each pass of a trial.
"""

import random
import sys
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import islice
from types import FunctionType, MethodType
from typing import Any

import torch
from torch import Tensor, nn

from gradreg_torch._engine.contents import (
    OF_EVERY_MODULE,
    Names,
    equal,
    is_plain_tensor,
    own_names,
    way,
)
from gradreg_torch._engine.holding import behind

_MOST = 10_000  # objects
_HOOKS = [name for name in OF_EVERY_MODULE if name.endswith("hooks")]
_CONTAINERS = (dict, list, tuple, set, deque)


@dataclass(frozen=True)
class Place:
    """Something that can change, as it was, and how to write it.

    Parameters
    ----------
    name : str
        For its owner to find it.
    read, write : callable
        Its content, copied, and the way to put that back.
    before : object
        Its content when the check began.
    """

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    before: Any

    def names(self) -> list[str]:
        """What differs from before: of a namespace, the attributes."""
        now, before = self.read(), self.before
        if not isinstance(before, Names):
            return [] if equal(now, before) else [self.name]
        keys = [k for k in {**before, **now} if now.get(k, self) is not before.get(k, self)]
        return [f"{self.name}.{key}".lstrip(".") for key in keys]

    def back(self) -> None:
        """Write what was there before, if there is something else."""
        if self.names():
            self.write(self.before)


def places(model: Any, modules: tuple[nn.Module, ...]) -> list[Place]:
    """What a pass of the model may change, where it can be found."""
    kept_elsewhere = [t for m in modules for t in (*m.parameters(), *m.buffers())]
    memory = {_memory(t) for t in kept_elsewhere if is_plain_tensor(t)}
    found: list[Place] = []
    seen: dict[int, Any] = {}  # keeps the objects alive, so that no id is used twice
    waiting = deque([("", model), *_global_generators()])
    waiting += [named for module in modules for named in module.named_modules()]
    while waiting and len(seen) < _MOST:
        name, one = waiting.popleft()
        if id(one) in seen or (is_plain_tensor(one) and _memory(one) in memory):
            continue
        seen[id(one)] = one
        if (there_and_back := way(one)) is not None:
            read, write = there_and_back
            found.append(Place(name, read, write, read()))
        waiting += islice(_inside(name, one), _MOST)
    return found


def changed(places: list[Place]) -> list[str]:
    """The names of what differs, each once."""
    return list(dict.fromkeys(name for place in places for name in place.names()))


def put_back(places: list[Place]) -> None:
    """Write what was there before."""
    with torch.no_grad():
        for place in places:
            place.back()


class Untouched:
    """A context, to be entered again and again, for passes that leave no trace in attributes."""

    def __init__(self, model: Any, modules: tuple[nn.Module, ...]) -> None:
        self.places = places(model, modules)

    def __enter__(self) -> None:
        """Begin a pass."""

    def __exit__(self, *_: object) -> None:
        """Write what was there before."""
        put_back(self.places)


def _memory(t: Tensor) -> int:
    """Where the numbers of a tensor are."""
    return t.untyped_storage()._cdata


def _global_generators() -> Iterator[tuple[str, Any]]:
    """Those of Python and of NumPy, where it is there."""
    yield "Python's random state", random._inst
    if numpy := sys.modules.get("numpy"):
        yield "NumPy's random state", numpy.random.mtrand._rand


def _inside(name: str, one: Any) -> Iterator[tuple[str, Any]]:
    """What an object holds, where it may change, by the name of the attribute of a module."""
    if isinstance(one, nn.Module):
        for key, value in own_names(one).items():
            yield f"{name}.{key}".lstrip("."), vars(value) if _of_a_user(value) else value
        for kind in _HOOKS:
            yield from ((name, hook) for hook in (vars(one).get(kind) or {}).values())
    elif isinstance(one, FunctionType | MethodType | partial):
        yield from ((name, value) for value in behind(one))
    elif isinstance(one, _CONTAINERS):
        yield from ((name, v) for v in (one.values() if isinstance(one, dict) else one))


def _of_a_user(value: Any) -> bool:
    """Whether a value is an object of a class of the user's, neither a module nor a function."""
    library = type(value).__module__.split(".")[0] in ("torch", "builtins", "numpy", "random")
    return not library and hasattr(value, "__dict__") and not callable(value)
