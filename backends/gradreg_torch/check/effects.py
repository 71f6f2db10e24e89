"""The state that a check must not change: parameters, buffers, gradients, modes, hooks and more.

This includes the states of the random generators. For other attributes see `attributes`.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gradreg_torch._engine.parts import in_training
from gradreg_torch._engine.random import random_state, set_random_state

_State = dict[str, Any]


def state(modules: tuple[nn.Module, ...], generator: torch.Generator | None) -> _State:
    """The state of modules and of the random generators, to compare or to restore."""
    parts = [part for module in modules for part in module.modules()]
    parameters = [p for module in modules for p in module.parameters()]
    return {
        "parameters": [p.detach().clone() for p in parameters],
        "gradients": [None if p.grad is None else p.grad.clone() for p in parameters],
        "requires_grad": [p.requires_grad for p in parameters],
        "buffers": [b.clone() for module in modules for b in module.buffers()],
        "training mode": [in_training(part) for part in parts],
        "hooks": [(len(part._forward_hooks), len(part._backward_hooks)) for part in parts],
        "torch's random state": torch.get_rng_state(),
        "the generator's state": None if generator is None else generator.get_state(),
    }


def changed(before: _State, after: _State) -> list[str]:
    """The names of what differs."""
    return [name for name, value in before.items() if not _same(value, after[name])]


@contextmanager
def kept(
    modules: tuple[nn.Module, ...], generator: torch.Generator | None, x: Tensor
) -> Iterator[Callable[[], None]]:
    """Gives a function that takes buffers and random states back to now; runs it at the end."""
    buffers = [b for module in modules for b in module.buffers()]
    parts = [part for module in modules for part in module.modules()]
    # A forward pass may put another tensor in a buffer's place, but in a scripted module it cannot.
    tables = [part._buffers for part in parts if isinstance(part._buffers, dict)]
    ways: list[Callable[[], object]] = [partial(table.update, dict(table)) for table in tables]
    ways += [partial(b.copy_, b.clone()) for b in buffers]
    ways.append(partial(set_random_state, random_state(x), x))
    if generator is not None:
        ways.append(partial(generator.set_state, generator.get_state()))

    def back() -> None:
        with torch.no_grad():
            for way in ways:
                way()

    try:
        yield back
    finally:
        back()


def _same(a: Any, b: Any) -> bool:
    """Equal, entry by entry."""
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    return type(a) is type(b) and bool(a == b)
