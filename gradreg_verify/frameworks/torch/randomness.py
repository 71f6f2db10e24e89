"""The random numbers of a call: drawn from a seed, recorded, or replaced."""

import pickle
import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from gradreg_torch._engine.holding import behind
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gradreg_verify.frameworks.harness import Draw, next_fed, random_states
from gradreg_verify.frameworks.torch.precisions import accelerators, to_numpy
from gradreg_verify.outcomes import NotTestable

_BITS = (torch.bernoulli, Tensor.bernoulli, Tensor.bernoulli_)
_RANDOM: dict[str, tuple[Callable[..., Any], ...]] = {
    "normal": (torch.randn, torch.randn_like, torch.normal, Tensor.normal_),
    "uniform": (torch.rand, torch.rand_like, Tensor.uniform_),
    "integer": (torch.randint, torch.randint_like, Tensor.random_, *_BITS),
}
_KINDS = {function: kind for kind, functions in _RANDOM.items() for function in functions}


class Randomness(TorchFunctionMode):
    """Records every call of a random function, and answers it with what is fed, if anything.

    The numbers drawn inside ``torch.func.vmap`` have no values yet: they are not recorded, and
    cannot be replaced.

    Parameters
    ----------
    feed : sequence of Draw, optional
        One for each call, in order.
    """

    def __init__(self, feed: Sequence[Draw] | None = None) -> None:
        super().__init__()
        self.draws: list[Draw] = []
        self.left = None if feed is None else deque(feed)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The drawn tensor, with its entries replaced."""
        drawn = func(*args, **(kwargs or {}))
        kind = _KINDS.get(func)
        if kind is None or (self.left is None and _of_vmap(drawn)):
            return drawn
        if _of_vmap(drawn):
            raise NotTestable("it draws inside vmap here, where no numbers can be fed to it")
        self.draws.append(Draw(kind, to_numpy(drawn).copy()))
        if self.left is not None:
            fed = next_fed(self.left, kind, tuple(drawn.shape))  # inputs of any shape are drawn for
            middle, width = _line(func, args, kwargs or {})
            drawn.copy_(middle + width * torch.from_numpy(np.array(fed)).to(drawn))
        return drawn


def _of_vmap(drawn: Tensor) -> bool:
    """Whether a tensor stands for those of a whole batch, inside `torch.func.vmap`."""
    return torch._C._functorch.is_batchedtensor(drawn)


def _line(func: Any, args: tuple[Any, ...], named: dict[str, Any]) -> tuple[Any, Any]:
    """Middle and width by which a call turns standard numbers into its own: N(0, 1), or U(0, 1)."""
    if func is torch.normal:
        return _normal(*args, **named)
    if func is Tensor.normal_:
        return _normal(*args[1:], **named)
    return _uniform(*args[1:], **named) if func is Tensor.uniform_ else (0.0, 1.0)


def _normal(mean: Any = 0.0, std: Any = 1.0, *_: Any, **__: Any) -> tuple[Any, Any]:
    """Mean and standard deviation that a call asks for."""
    return mean, std


def _uniform(low: Any = 0.0, high: Any = 1.0, **named: Any) -> tuple[Any, Any]:
    """The lower bound and the width that a call asks for; torch names the bounds from and to."""
    low, high = named.get("from", low), named.get("to", high)
    return low, high - low


@contextmanager
def default_dtype(dtype: torch.dtype) -> Iterator[None]:
    """Make `torch.randn(n, m)` return this dtype, as many functions pass no dtype."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(dtype if dtype.itemsize >= 4 else torch.float32)
    try:
        yield
    finally:
        torch.set_default_dtype(before)


_Generator = torch.Generator | np.random.Generator | np.random.RandomState | random.Random


def generators_of(function: Any) -> list[_Generator]:
    """The generators that a function keeps: in attributes, closures, partials, or globals it names.

    They draw like the global generators, so the kit seeds them together with these.
    """
    seen: dict[int, Any] = {}  # keeps the objects alive, so that no id is used twice
    waiting: deque[Any] = deque([function])
    while waiting:
        held = waiting.popleft()
        if id(held) in seen or isinstance(held, Tensor | str):
            continue
        seen[id(held)] = held
        if not isinstance(held, _Generator) and len(seen) < _MOST_OBJECTS:
            waiting.extend(behind(held))
    return [held for held in seen.values() if isinstance(held, _Generator)]


_MOST_OBJECTS = 1000


def _state_of(kept: _Generator) -> Any:
    """The state of a generator."""
    if isinstance(kept, np.random.Generator):
        return kept.bit_generator.state
    return kept.getstate() if isinstance(kept, random.Random) else kept.get_state()


def _set_state(kept: _Generator, state: Any) -> None:
    """Put a generator back into a state."""
    if isinstance(kept, np.random.Generator):
        kept.bit_generator.state = state
    elif isinstance(kept, random.Random):
        kept.setstate(state)
    else:
        kept.set_state(state)


def _set_seed(kept: _Generator, seed: int) -> None:
    """Seed a generator."""
    if isinstance(kept, torch.Generator):
        kept.manual_seed(seed)
    elif isinstance(kept, np.random.Generator):
        kept.bit_generator.state = type(kept.bit_generator)(seed).state
    else:
        kept.seed(seed % 2**32 if isinstance(kept, np.random.RandomState) else seed)


_GLOBAL: tuple[_Generator, ...] = (
    torch.default_generator,
    np.random.mtrand._rand,
    random._inst,
)


def seed_all(seed: int, kept: Sequence[_Generator] = ()) -> None:
    """Seed the global generators and those kept, inside `random_states_kept`."""
    # `torch.manual_seed` without the stack traces that it keeps for devices not in use.
    for device in accelerators():
        torch.get_device_module(device).manual_seed_all(seed)
    for generator in (*_GLOBAL, *kept):
        _set_seed(generator, seed)


@contextmanager
def random_states_kept(kept: Sequence[_Generator] = ()) -> Iterator[None]:
    """Global generators and those kept are afterwards as they were.

    To read and to write their states takes ten times as long as to seed them.
    """
    states = [(generator, _state_of(generator)) for generator in (*_GLOBAL, *kept)]
    of_devices = _states_of_devices()
    try:
        yield
    finally:
        for generator, state in states:
            _set_state(generator, state)
        for device, state in of_devices.items():
            torch.get_device_module(device).set_rng_state(state, device)


def _states_of_devices() -> dict[torch.device, Tensor]:
    """The states of the accelerators' own generators."""
    return {d: torch.get_device_module(d).get_rng_state(d) for d in accelerators()}


def global_states() -> dict[str, Any]:
    """The random states of the process by name, as values that can be compared."""
    return {"torch's global random state": torch.get_rng_state(), **random_states()}


def states_of(kept: Sequence[_Generator]) -> list[bytes]:
    """The global random states, and those of some generators, as values that can be compared."""
    of_devices = _states_of_devices().values()
    states = (*global_states().values(), *of_devices, *map(_state_of, kept))
    return [pickle.dumps(s.numpy() if isinstance(s, Tensor) else s) for s in states]
