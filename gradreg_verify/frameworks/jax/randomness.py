"""Record the calls of `jax.random`, or replace their results by given numbers."""

from collections import deque
from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from gradreg_verify.frameworks.harness import Draw, next_fed

_KINDS = {
    "normal": "normal",
    "uniform": "uniform",
    "randint": "integer",
    "bernoulli": "integer",
    "rademacher": "integer",
}


class Randomness:
    """While it is entered, calls of ``jax.random.normal`` and the like are recorded, or fed.

    A function imported by name (``from jax.random import normal``) is not seen. `draws` has the
    kind and the numbers of every call; inside `jit` or `vmap` they have no values yet.

    Parameters
    ----------
    feed : sequence of Draw, optional
        One for each call, in order.
    """

    def __init__(self, feed: Sequence[Draw] | None = None) -> None:
        self.draws: list[tuple[str, Any]] = []
        self.left = None if feed is None else deque(feed)
        self.real: dict[str, Callable[..., Any]] = {}

    def __enter__(self) -> "Randomness":
        for name, kind in _KINDS.items():
            self.real[name] = getattr(jax.random, name)
            setattr(jax.random, name, self.instead(name, kind))
        return self

    def __exit__(self, *_: object) -> None:
        for name, function in self.real.items():
            setattr(jax.random, name, function)

    def instead(self, name: str, kind: str) -> Callable[..., Any]:
        """The function that stands in for that one."""

        def drawn(*args: Any, **keywords: Any) -> Any:
            got = self.real[name](*args, **keywords)
            numbers = jnp.asarray(got, float)
            # Signs as bits, which is how the kit hands integers over.
            self.draws.append((kind, (numbers + 1) / 2 if name == "rademacher" else numbers))
            if self.left is None:
                return got
            fed = jnp.asarray(next_fed(self.left, kind, got.shape))
            if name == "uniform":
                low, high = _bounds(*args, **keywords)
                fed = low + (high - low) * fed
            return (2 * fed - 1 if name == "rademacher" else fed).astype(got.dtype)

        return drawn


def _bounds(
    key: Any, shape: Any = (), dtype: Any = None, minval: Any = 0.0, maxval: Any = 1.0, **_: Any
) -> tuple[Any, Any]:
    """The bounds that a call of ``jax.random.uniform`` asks for."""
    del key, shape, dtype
    return minval, maxval
