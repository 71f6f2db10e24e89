"""Parts that all training shares: the learning rate, one thread, and a limit on seeds."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from gradreg_ref import checks

_MOST = 1000  # seeds or processes: a mistyped count would fill the memory


def learning_rate(first: float, step: int, steps: int) -> float:
    """The rate at a step: a tenth from half of the run on, a hundredth from three quarters."""
    drops = (2 * step >= steps) + (4 * step >= 3 * steps)
    return float(first * 0.1**drops)


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one CPU thread: products are small, and results then do not depend on the core count.

    Two threads that wait for each other are ten times slower where a core is busy elsewhere.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def few(name: str, value: int) -> int:
    """A whole number from 1 to 1000, of seeds or processes."""
    if checks.count(name, value) > _MOST:
        raise ValueError(f"expected {name} of at most {_MOST}, got {value}")
    return value
