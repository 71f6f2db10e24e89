"""Find the modules that a module keeps in a plain list, dict or function: `modules()` omits them.

A pass moves their buffers too, and one of them may be a wrapper for data parallel training. Each
module is searched once.
"""

from collections import deque
from collections.abc import Iterator
from functools import partial
from types import FunctionType, MethodType
from typing import Any
from weakref import WeakKeyDictionary, ref

from torch import nn

from gradreg_torch._engine.holding import HOLDING, MOST, behind
from gradreg_torch._engine.parts import parts_of

_OF_EVERY_MODULE = vars(nn.Module()).keys()
# Objects of other classes are not followed: a trainer may hold the wrapper of this module.
_FOLLOWED = (*HOLDING, FunctionType, MethodType, partial)
_FOUND: WeakKeyDictionary[nn.Module, tuple[ref[nn.Module], ...]] = WeakKeyDictionary()


def unregistered(module: nn.Module) -> list[nn.Module]:
    """The modules that attributes of a module and its parts hold, and that are not its parts."""
    kept = _FOUND.get(module)
    if kept is None:
        kept = _FOUND[module] = tuple(map(ref, _search(module)))
    return [found for one in kept if (found := one()) is not None] if kept else []


def _search(module: nn.Module) -> Iterator[nn.Module]:
    """Yield the modules that the parts hold, but no module that has this one as a part."""
    own = set(parts_of((module,)))
    seen: dict[int, Any] = {}
    waiting = deque(value for part in own for value in _attributes(part))
    while waiting and len(seen) < MOST:
        one = waiting.popleft()
        if id(one) in seen or (isinstance(one, nn.Module) and one in own):
            continue
        seen[id(one)] = one
        if not isinstance(one, nn.Module):
            waiting += (other for other in behind(one) if isinstance(other, _FOLLOWED))
        elif module not in (parts := parts_of((one,))):
            own.update(parts)
            waiting += (value for part in parts for value in _attributes(part))
            yield one


def _attributes(part: nn.Module) -> list[Any]:
    """Return what a part has beside parameters, buffers and parts, where it may hold a module."""
    own = vars(part)
    return [own[n] for n in own.keys() - _OF_EVERY_MODULE if isinstance(own[n], _FOLLOWED)]
