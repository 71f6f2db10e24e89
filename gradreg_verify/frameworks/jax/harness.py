"""One JAX function under test: called on reference networks, compiled, its randomness replaced."""

from contextlib import nullcontext
from functools import lru_cache
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gradreg_jax.arrays import concrete

from gradreg_ref.networks import Network
from gradreg_ref.typing import Array
from gradreg_verify.frameworks.harness import Called, Draw, Supply, answering
from gradreg_verify.frameworks.jax.convert import to_jax
from gradreg_verify.frameworks.jax.devices import (
    DTYPES,
    capabilities,
    flat,
    in_precision,
    placed,
    to_numpy,
)
from gradreg_verify.frameworks.jax.programs import Problem, compiled
from gradreg_verify.frameworks.jax.randomness import Randomness
from gradreg_verify.frameworks.registry import Capabilities
from gradreg_verify.outcomes import Broken, NotAsked, NotTestable
from gradreg_verify.subject.watch import Patience


class JaxHarness(Called):
    """A penalty of JAX functions, as anyone writes it.

    Where it does not take "params", its model is a function of x alone.
    """

    def __init__(self, *asked: Any, **options: Any) -> None:
        super().__init__(*asked, **options)
        self.compiled = lru_cache(maxsize=64)(self.compile)

    def capabilities(self) -> Capabilities:
        """The installed JAX, and the devices it sees."""
        return capabilities()

    def value(self, network: Network, x: Array, y: Array, supply: Supply, **settings: Any) -> Array:
        """What the function returns."""
        return to_numpy(self.run(0, network, x, y, supply, **settings))

    def gradient(
        self, network: Network, x: Array, y: Array, supply: Supply, **settings: Any
    ) -> Array:
        """∇_θ of the sum of what it returns."""
        return flat(self.run(1, network, x, y, supply, **settings))

    def after_a_step(self, *_: Any, **__: Any) -> Array:
        """Not in JAX, where parameters do not change in place."""
        raise NotAsked("arrays do not change in JAX")

    def two_gradients(
        self, network: Network, x: Array, y: Array, supply: Supply, **settings: Any
    ) -> tuple[Array, Array]:
        """The gradients of two calls in a row, each with its part of one key."""
        with placed(settings.get("device", "cpu")):
            keys = jax.random.split(jax.random.key(supply.seed))
        first, second = (
            flat(self.run(1, network, x, y, supply, key=key, **settings)) for key in keys
        )
        return first, second

    def draws(
        self, network: Network, x: Array, y: Array, supply: Supply, **settings: Any
    ) -> tuple[list[Draw], tuple[Any, ...]]:
        """The calls of random functions in one call; keys have no state.

        A program that returns what is drawn shows them, but for those in a `jit` or `vmap` of the
        function's own. Where it shows none, the call is made op by op, without `jit`.
        """
        try:
            found = self.run(2, network, x, y, supply, **settings)
        except (Broken, NotTestable):
            found = []
        if found:
            return [Draw(kind, to_numpy(a)) for draw in found for kind, a in draw.items()], ()
        with Randomness() as watched, jax.disable_jit():
            self.run(0, network, x, y, supply, **settings)
        return [Draw(kind, to_numpy(a)) for kind, a in watched.draws if concrete(a)], ()

    def side_effects(
        self, network: Network, x: Array, y: Array, supply: Supply, *, random: bool, device: str
    ) -> list[str]:
        """None: arrays do not change in JAX, and there is no global random state."""
        del network, x, y, supply, random, device
        return []

    def run(
        self,
        which: int,
        network: Network,
        x: Array,
        y: Array,
        supply: Supply,
        *,
        dtype: str = "float64",
        device: str = "cpu",
        training: bool = False,
        no_grad: bool = False,
        requires_grad: bool = False,
        key: Any = None,
    ) -> Any:
        """Its value (0), gradient (1) or draws (2); whatever it raises becomes `Broken`."""
        del training  # networks of the reference have no modes
        if no_grad or requires_grad:
            raise NotTestable("JAX has no such mode")
        precision = DTYPES[dtype]
        with placed(device):
            _, params = to_jax(network, precision)
            inputs, labels = in_precision(x, precision), in_precision(y, precision)
            key = jax.random.key(supply.seed) if key is None else key
            probes = None if supply.probes is None else in_precision(supply.probes, precision)
            feed = None if supply.feed is None else tuple(map(np.asarray, supply.feed))
            *programs, patience = self.compiled(Problem(network, fed=feed is not None))
            with (
                answering(),
                patience.limit(which, inputs.shape, dtype, *map(np.shape, feed or ())),
            ):
                got = programs[which](params, inputs, labels, key, probes, feed)
        # By NumPy: JAX would compile the question for every shape.
        if not all(np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(got)):
            raise Broken(f"expected a finite value, got {got!r:.60}")
        return got

    def compile(self, problem: Problem) -> tuple[Any, ...]:
        """Value, gradient and draws, compiled once for a network's structure; their time limit."""
        f, _ = to_jax(problem.network)

        def value(params: Any, x: Any, y: Any, key: Any, probes: Any, feed: Any) -> Any:
            with nullcontext() if feed is None else Randomness(feed):
                return self.call(f, params, x, y, key, probes)

        def total(params: Any, *rest: Any) -> Any:
            return value(params, *rest).sum()

        def drawn(*arguments: Any) -> list[dict[str, Any]]:
            with Randomness() as watched:
                value(*arguments)
            return [{kind: a} for kind, a in watched.draws]

        programs = map(compiled, (value, jax.grad(total), drawn))
        return *programs, Patience(self.seconds)

    def call(self, f: Any, params: Any, x: Any, y: Any, key: Any, probes: Any) -> Any:
        """The function with its arguments in its own order."""
        model = f if "params" in self.arguments else lambda x: f(params, x)
        given = {"model": model, "params": params, "x": x, "y": y}
        if "logits" in self.arguments:
            given["logits"] = f(params, x)
        keywords = {"key": key} if "key" in self.arguments else {}
        if "probes" in self.arguments and probes is not None:
            keywords["probes"] = probes
        got = self.function(*(given[a] for a in self.arguments if a in given), **keywords)
        if not hasattr(got, "dtype") or not jnp.issubdtype(got.dtype, jnp.floating):
            raise Broken(f"expected a floating array, got {type(got).__name__} {got!r:.60}")
        return got
