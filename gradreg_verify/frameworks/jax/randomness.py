"""Record the calls of `jax.random`, or replace their results by given numbers."""

from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp

from gradreg_verify.frameworks.harness import Draw, next_fed

_BITS = dict.fromkeys(("randint", "bernoulli", "rademacher"), "integer")
_KINDS = {"normal": "normal", "uniform": "uniform"} | _BITS


class Randomness:
    """While it is entered, calls of ``jax.random.normal`` and the like are recorded, or fed.

    A function imported by name (``from jax.random import normal``) is not seen. `draws` has the
    kind and the numbers of every call; inside `jit` they have no values yet. A call inside `vmap`,
    with a key for each example, is one call with the numbers of all examples.

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
        for name in _KINDS:
            self.real[name] = getattr(jax.random, name)
            setattr(jax.random, name, partial(self.drawn, name))
        return self

    def __exit__(self, *_: object) -> None:
        for name, function in self.real.items():
            setattr(jax.random, name, function)

    def drawn(self, name: str, key: Any, *args: Any, **keywords: Any) -> Any:
        """What a call of the function of that name returns."""
        bounds = _bounds(*args, **keywords) if name == "uniform" else (0.0, 1.0)
        draw = partial(self.real[name], **keywords)
        return self.sample(lambda key: draw(key, *args), partial(self.recorded, name, bounds), key)

    def sample(self, draw: Callable[[Any], Any], record: Callable[[Any], Any], key: Any) -> Any:
        """Record what is drawn from a key; inside `vmap`, from all keys of the batch at once."""
        if not _is_batched(key):
            return record(draw(key))

        def every(size: int, batched: list[bool], keys: Any) -> tuple[Any, bool]:
            del size, batched
            return self.sample(jax.vmap(draw), record, keys), True

        one = jax.custom_batching.custom_vmap(draw)
        one.def_vmap(every)
        return one(key)

    def recorded(self, name: str, bounds: tuple[Any, Any], got: Any) -> Any:
        """Note the numbers of one call, and return those fed in their place."""
        numbers, kind = jnp.asarray(got, float), _KINDS[name]
        # Signs as bits, which is how the kit hands integers over.
        self.draws.append((kind, (numbers + 1) / 2 if name == "rademacher" else numbers))
        if self.left is None:
            return got
        fed = jnp.asarray(next_fed(self.left, kind, got.shape))
        if name == "uniform":
            low, high = bounds
            fed = low + (high - low) * fed
        return (2 * fed - 1 if name == "rademacher" else fed).astype(got.dtype)


def _is_batched(key: Any) -> bool:
    """Whether a key stands for those of a whole batch, inside `vmap`."""
    found: list[bool] = []

    def every(size: int, batched: list[bool], keys: Any) -> tuple[Any, bool]:
        del size, batched
        found.append(True)
        return keys, True

    same = jax.custom_batching.custom_vmap(lambda key: key)
    same.def_vmap(every)
    same(key)
    return bool(found)


def _bounds(
    shape: Any = (), dtype: Any = None, minval: Any = 0.0, maxval: Any = 1.0, **_: Any
) -> tuple[Any, Any]:
    """The bounds that a call of ``jax.random.uniform`` asks for."""
    del shape, dtype
    return minval, maxval
