"""The state of the global generators: a pass is repeated with the same dropout masks."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

Random = tuple[Tensor, Tensor | None]  # of the CPU, and of the device of x


def random_state(x: Tensor) -> Random:
    """The state of the global generators that dropout draws from."""
    cuda = torch.cuda.get_rng_state(x.device) if x.device.type == "cuda" else None
    return torch.get_rng_state(), cuda


@contextmanager
def replayed(state: Random, x: Tensor) -> Iterator[None]:
    """A context that draws the same dropout masks again and then restores the generators."""
    with torch.random.fork_rng([x.device] if x.device.type == "cuda" else []):
        set_random_state(state, x)
        yield


def set_random_state(state: Random, x: Tensor) -> None:
    """Restore what `random_state` returned."""
    cpu, cuda = state
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda, x.device)
