"""One JAX function under test: called on reference networks, compiled, its randomness replaced."""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from functools import lru_cache, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gradreg_jax.arrays import concrete

from gradreg_ref.networks import Network
from gradreg_ref.typing import Array
from gradreg_verify.frameworks.harness import Call, Draw, Harness, answering, random_states
from gradreg_verify.frameworks.jax.convert import to_jax
from gradreg_verify.frameworks.jax.devices import DTYPES, flat, in_precision, placed, to_numpy
from gradreg_verify.frameworks.jax.programs import Problem, compiled, key_of, parameters
from gradreg_verify.frameworks.jax.randomness import Randomness
from gradreg_verify.outcomes import Broken, NotAsked, NotTestable
from gradreg_verify.subject.declaration import Declaration
from gradreg_verify.subject.watch import Patience


class JaxHarness(Harness):
    """A penalty of JAX functions, as anyone writes it.

    Where it does not take "params", its model is a function of x alone.
    """

    def __init__(self, function: Any, declaration: Declaration, seconds: float) -> None:
        super().__init__(function, declaration, seconds)
        self.compiled = lru_cache(maxsize=64)(self.compile)
        self.changed: set[str] = set()

    def value(self, call: Call) -> Array:
        """Return what the function returns."""
        return to_numpy(self.run(0, call))

    def gradient(self, call: Call, key: Any = None) -> Array:
        """∇_θ of the sum of what it returns; `key` in place of that of the seed."""
        parts = self.run(1, call, key)
        return flat(parts if call.only is None else [parts[call.only]])

    def after_a_step(self, call: Call, moved: Network) -> tuple[Array, Array]:
        """Raise NotAsked: in JAX parameters do not change in place."""
        del call, moved
        raise NotAsked("arrays do not change in JAX")

    def two_gradients(self, call: Call) -> tuple[Array, Array]:
        """The gradients of two calls in a row, each with its part of one key."""
        with placed(call.device):
            keys = jax.random.split(key_of(call.supply.seed, call.device))
        first, second = (self.gradient(call, key) for key in keys)
        return first, second

    def draws(self, call: Call, *, values: bool = True) -> list[Draw]:
        """The calls of random functions in one call.

        A program that returns what is drawn shows them, but for those in a `jit` or `vmap` of the
        function's own. Where it shows none, the call is made op by op, without `jit`. To trace the
        program is enough where no values are needed.
        """
        try:
            found = self.run(2 if values else 3, call)
        except (Broken, NotTestable):
            found = []
        if found:
            read = to_numpy if values else lambda a: np.zeros(a.shape)
            return [Draw(kind, read(a)) for draw in found for kind, a in draw.items()]
        with Randomness() as watched, jax.disable_jit():
            self.run(0, call)
        return [Draw(kind, to_numpy(a)) for kind, a in watched.draws if concrete(a)]

    def side_effects(self, call: Call, *, random: bool) -> list[str]:
        """What traces of the function changed; arrays do not change in JAX."""
        del call, random
        return sorted(self.changed)

    def run(self, which: int, call: Call, key: Any = None) -> Any:
        """The function's value (0), gradient (1), draws (2) or their shapes (3), or `Broken`.

        Networks of the reference have no modes, so `call.training` changes nothing.
        """
        if call.no_grad or call.requires_grad or call.frozen:
            raise NotTestable("JAX has no such mode")
        precision, supply = DTYPES[call.dtype], call.supply
        with placed(call.device, x64=call.dtype == "float64"):
            params = parameters(call.network, precision, call.device)
            x, y = in_precision(call.x, precision), in_precision(call.y, precision)
            key = key_of(supply.seed, call.device) if key is None else key
            probes = None if supply.probes is None else in_precision(supply.probes, precision)
            feed, kind = None, ""
            if supply.feed is not None:
                feed = tuple(np.asarray(draw.values) for draw in supply.feed)
                kind = supply.feed[0].kind
            *programs, patience = self.compiled(Problem(call.network, fed=kind))
            shapes = x.shape, *map(np.shape, feed or ())
            with answering(), patience.limit(which, call.dtype, shapes):
                got = programs[which](params, x, y, key, probes, feed, call.weight)
        # By NumPy: JAX would compile the question for every shape.
        if which < 3 and not all(
            np.isfinite(np.asarray(leaf)).all() for leaf in jax.tree.leaves(got)
        ):
            raise Broken(f"expected a finite value, got {got!r:.60}")
        return got

    def compile(self, problem: Problem) -> tuple[Any, ...]:
        """Value, gradient and draws, compiled once for a network's structure; their time limit."""
        f, _ = to_jax(problem.network, jnp.float32)  # its structure; it takes parameters of any

        def value(
            params: Any, x: Any, y: Any, key: Any, probes: Any, feed: Any, weight: Any
        ) -> Any:
            kind = problem.options["fed"]
            with nullcontext() if feed is None else Randomness([Draw(kind, a) for a in feed]):
                return weight * self.call(f, params, x, y, key, probes)

        def total(params: Any, *rest: Any) -> Any:
            return value(params, *rest).sum()

        def drawn(*arguments: Any) -> list[dict[str, Any]]:
            with Randomness() as watched:
                value(*arguments)
            return [{kind: a} for kind, a in watched.draws]

        programs = map(compiled, (value, jax.grad(total), drawn))
        return *programs, partial(jax.eval_shape, drawn), Patience(self.seconds)

    def call(self, f: Any, params: Any, x: Any, y: Any, key: Any, probes: Any) -> Any:
        """The function with its arguments in its own order."""
        model = f if "params" in self.arguments else lambda x: f(params, x)
        given = {"model": model, "params": params, "x": x, "y": y}
        if "logits" in self.arguments:
            given["logits"] = f(params, x)
        with _settings_kept(self.changed):
            got = self.answer(given, key=key, probes=probes)
        if not hasattr(got, "dtype") or not jnp.issubdtype(got.dtype, jnp.floating):
            raise Broken(f"expected a floating array, got {type(got).__name__} {got!r:.60}")
        return got


@contextmanager
def _settings_kept(changed: set[str]) -> Iterator[None]:
    """Settings of JAX and NumPy are afterwards as they were; what was changed within is added."""
    settings, states, handling = dict(jax.config.values), random_states(), np.geterr()
    try:
        yield
    finally:
        if np.seterr(**handling) != handling:
            changed.add("NumPy's handling of errors")
        for name, value in dict(jax.config.values).items():
            if value != settings[name]:
                changed.add(f"the setting {name}")
                jax.config.update(name, settings[name])  # type: ignore[no-untyped-call]
        changed.update(name for name, state in random_states().items() if state != states[name])
