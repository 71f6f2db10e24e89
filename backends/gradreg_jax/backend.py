"""The JAX backend behind the protocol of `gradreg_ref.backends`."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradreg_jax.confidence_penalty import confidence_penalty
from gradreg_jax.convert import to_jax
from gradreg_jax.doubleback import doubleback
from gradreg_jax.frobreg import frobreg
from gradreg_jax.jacreg import jacreg
from gradreg_jax.onehot import onehot
from gradreg_jax.probes import draw_probes
from gradreg_jax.spectreg import spectreg
from gradreg_jax.weight_decay import weight_decay
from gradreg_ref import checks
from gradreg_ref.backends import Capabilities, require_device
from gradreg_ref.networks import Network
from gradreg_ref.typing import Array, Law

FUNCTIONS: dict[str, Callable[..., Any]] = {
    "frobreg": lambda f, params, x, _, **options: frobreg(f, params, x, **options),
    "spectreg": lambda f, params, x, _, **options: spectreg(f, params, x, **options),
    "doubleback": doubleback,
    "jacreg": lambda f, params, x, _, **options: jacreg(f, params, x, **options),
    "onehot": onehot,
    "confidence_penalty": lambda f, params, x, _, **options: confidence_penalty(
        f(params, x), **options
    ),
    "weight_decay": lambda _f, params, _x, _y, **_: weight_decay(params),
}
DTYPES = {
    "float64": jnp.float64,
    "float32": jnp.float32,
    "bfloat16": jnp.bfloat16,
    "float16": jnp.float16,
}


class JaxBackend:
    """JAX, on whatever devices it sees; gradients by `jax.grad` of vector-Jacobian products."""

    name = "jax"

    def capabilities(self) -> Capabilities:
        """The installed JAX, and the devices it sees."""
        devices = {f"{d.platform}:{d.id}": d.device_kind for d in jax.devices()}
        if jax.devices()[0].platform == "cpu":
            devices = {"cpu": jax.devices()[0].device_kind}
        return Capabilities(
            f"jax {jax.__version__}",
            devices,
            tuple(DTYPES),
            ("reverse", "forward"),
            ("output", "input"),
        )

    def value(
        self, penalty: str, network: Network, x: Array, y: Array | None = None, **options: Any
    ) -> Array:
        """By vector-Jacobian products."""
        with jax.enable_x64(True):
            function, params = self.prepared(penalty, network, x, y, **options)
            return to_numpy(function(params))

    def gradient(
        self, penalty: str, network: Network, x: Array, y: Array | None = None, **options: Any
    ) -> Array:
        """By `jax.grad`."""
        with jax.enable_x64(True):
            function, params = self.prepared(penalty, network, x, y, **options)
            gradients = jax.grad(lambda params: function(params).sum())(params)
            return np.concatenate([to_numpy(g).ravel() for g in gradients] or [np.zeros(0)])

    def prepared(
        self,
        penalty: str,
        network: Network,
        x: Array,
        y: Array | None,
        *,
        dtype: str = "float64",
        device: str = "cpu",
        seed: int | None = None,
        **options: Any,
    ) -> tuple[Callable[[Any], Any], Any]:
        """The penalty as a function of the network's parameters, and those."""
        precision = DTYPES[checks.choice("dtype", dtype, DTYPES)]
        require_device(self, device)
        if options.pop("side", "output") == "input":
            options["mode"] = "forward"
        if seed is not None:
            options["key"] = jax.random.key(seed)
        if "probes" in options:
            options["probes"] = array(options["probes"], precision)
        f, params = to_jax(network, precision)
        given, labels = array(x, precision), None if y is None else array(y, precision)
        penalised = FUNCTIONS[checks.choice("penalty", penalty, FUNCTIONS)]
        return lambda params: penalised(f, params, given, labels, **options), params

    def draw(
        self, probe: Law, n: int, m: int, num_probes: int, *, seed: int, device: str = "cpu"
    ) -> Array:
        """Probes r[n, k, q] as `value` draws them for that seed, in float64."""
        require_device(self, device)
        with jax.enable_x64(True):
            key = jax.random.key(seed)
            return to_numpy(draw_probes(probe, n, m, num_probes, key=key, dtype=jnp.float64))


def array(a: Any, dtype: Any) -> Any:
    """A copy; of that dtype where it is floating."""
    a = np.asarray(a)
    return jnp.asarray(a, dtype if a.dtype.kind == "f" else None)


def to_numpy(a: Any) -> Array:
    """A float64 copy on the host."""
    return np.asarray(a).astype(np.float64)
