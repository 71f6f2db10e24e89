"""How to read a copy of what an object holds, and how to write that copy back."""

import random
import sys
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

OF_EVERY_MODULE = vars(nn.Module()).keys()
# They keep a state in step with one outside Python, which must not go back alone.
_WRAPPERS = ("torch.nn.parallel", "torch.distributed", "torch._dynamo", "torch.jit")


class Names(dict[Any, Any]):
    """A copy of a namespace or a dict, of which each value is an object to keep."""


def own_names(part: nn.Module) -> Names:
    """The attributes of a module that not every module has."""
    if type(part).__module__.startswith(_WRAPPERS):
        return Names()
    return Names({k: v for k, v in vars(part).items() if k not in OF_EVERY_MODULE})


def is_plain_tensor(one: Any) -> bool:
    """Whether one is a tensor whose numbers can be copied: not what `torch.func` left behind."""
    return (
        type(one) in (Tensor, nn.Parameter)
        and not (one.is_meta or one.is_quantized or one.is_nested or one.is_inference())
        and one.layout == torch.strided
        and not torch._C._functorch.is_functorch_wrapped_tensor(one)
    )


def way(one: Any) -> tuple[Callable[[], Any], Callable[[Any], object]] | None:
    """How to read a copy of the content of an object, and how to write it; None is not at all."""
    numpy: Any = sys.modules.get("numpy")
    if isinstance(one, nn.Module):
        return partial(own_names, one), partial(_rename, one)
    if isinstance(one, dict):
        return partial(Names, one), partial(_refill, one, one.update)
    if isinstance(one, set):
        return one.copy, partial(_refill, one, one.update)
    if isinstance(one, list | deque):
        return lambda: Names(enumerate(one)), lambda b: _refill(one, one.extend, b.values())
    if is_plain_tensor(one):
        return one.detach().clone, one.detach().copy_
    if isinstance(one, torch.Generator):
        return one.get_state, one.set_state
    if isinstance(one, random.Random):
        return one.getstate, one.setstate
    if numpy and isinstance(one, numpy.random.RandomState):
        return one.get_state, one.set_state
    if numpy and isinstance(one, numpy.random.Generator):
        bits = one.bit_generator
        return lambda: bits.state, partial(setattr, bits, "state")
    if numpy and isinstance(one, numpy.ndarray) and one.flags.writeable:
        return one.copy, partial(one.__setitem__, ...)
    return None


def _rename(part: nn.Module, before: Names) -> None:
    """Give a module the attributes that it had."""
    for key in own_names(part).keys() - before.keys():
        del vars(part)[key]
    vars(part).update(before)


def _refill(one: Any, add: Callable[[Any], object], content: Any) -> None:
    """Give a container the content that it had."""
    one.clear()
    add(content)


def equal(a: Any, b: Any) -> bool:
    """Whether contents are equal, entry by entry."""
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(equal(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(map(equal, a, b))
    if hasattr(a, "dtype"):
        return a.shape == b.shape and bool(((a == b) | ((a != a) & (b != b))).all())
    return bool(a == b)
