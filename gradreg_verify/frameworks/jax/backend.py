"""The JAX backend behind the protocol of `gradreg_verify.frameworks.registry`."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any

import gradreg_jax
import jax
import jax.numpy as jnp
import numpy as np
from gradreg_jax.probes import draw_probes

from gradreg_ref import checks
from gradreg_ref.networks import Network
from gradreg_ref.typing import Array, Law
from gradreg_verify.frameworks.base import OneByOne, declared_by
from gradreg_verify.frameworks.jax import devices
from gradreg_verify.frameworks.jax.devices import DTYPES, flat, in_precision, placed, to_numpy
from gradreg_verify.frameworks.jax.harness import JaxHarness
from gradreg_verify.frameworks.jax.programs import (
    FUNCTIONS,
    Problem,
    compiled,
    key_of,
    parameters,
    program,
)
from gradreg_verify.frameworks.registry import require_device

_DRAW = compiled(draw_probes, static_argnums=range(4), static_argnames="dtype")


class JaxBackend(OneByOne):
    """JAX, on whatever devices it sees; gradients by `jax.grad` of vector-Jacobian products."""

    name = "jax"
    capabilities = staticmethod(devices.capabilities)
    Harness = JaxHarness
    declared = tuple(declared_by(gradreg_jax, ("model", "params"), ("probes", "key"), "params"))

    @staticmethod
    def steady(generators: Sequence[Any] = ()) -> AbstractContextManager[None]:
        """Products in full float32: accelerators round their factors to 8 or 10 bits by default."""
        del generators  # JAX has keys
        return jax.default_matmul_precision("highest")

    def value(self, *at: Any, **options: Any) -> Array:
        """Compute the value by vector-Jacobian products."""
        return to_numpy(self.run(*at, **options)[1])

    def gradient(self, *at: Any, **options: Any) -> Array:
        """Compute the parameter gradient by `jax.grad`."""
        return flat(self.run(*at, **options)[0])

    def run(
        self,
        penalty: str,
        network: Network,
        x: Array,
        y: Array | None = None,
        *,
        dtype: str = "float64",
        device: str = "cpu",
        seed: int | None = None,
        **options: Any,
    ) -> tuple[Any, Any]:
        """Gradient and value of the penalty."""
        checks.choice("penalty", penalty, FUNCTIONS)
        precision = DTYPES[checks.choice("dtype", dtype, DTYPES)]
        require_device(self, device)
        if options.pop("side", "output") == "input":
            options["mode"] = "forward"
        inputs = in_precision(x, precision)
        labels = None if y is None else in_precision(y, precision)
        with placed(device):
            params = parameters(network, precision, device)
            random = {} if seed is None else {"key": key_of(seed, device)}
            if "probes" in options:
                random["probes"] = in_precision(options.pop("probes"), precision)
            both = program(penalty, Problem(network, **options))
            whole = _ordinary(network, x, (inputs, labels, random.get("probes")))
            with jax.disable_jit(not whole):
                return both(params, inputs, labels, random)

    def draw(
        self, probe: Law, n: int, m: int, num_probes: int, *, seed: int, device: str = "cpu"
    ) -> Array:
        """Probes r[n, k, q] as `value` draws them for that seed, in float64."""
        require_device(self, device)
        with placed(device):
            key = jax.random.key(seed)
            return to_numpy(_DRAW(probe, n, m, num_probes, key=key, dtype=jnp.float64))


def _ordinary(network: Network, x: Array, given: tuple[Any, Any, Any]) -> bool:
    """Whether what is given is valid; if not, run uncompiled code, which can refuse it.

    `given` has inputs, labels and probes in the dtype of the call, with None for what is not given.
    """
    if not all(np.isfinite(a).all() for a in given if a is not None):
        return False
    _, y, _ = given
    if y is None or y.dtype.kind == "f" or 0 in y.shape:
        return y is None or y.dtype.kind == "f"
    try:
        _, m = network.forward(x).shape  # by NumPy, as a trace takes longer
    except Exception:  # a shape that does not fit: the penalty says which
        return False
    return bool(y.min() >= 0 and y.max() < m)
