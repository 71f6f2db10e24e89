"""The JAX backend behind the protocol of `gradreg_ref.backends`."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradreg_jax.convert import to_jax
from gradreg_jax.probes import draw_probes
from gradreg_jax.programs import FUNCTIONS, Problem, programs
from gradreg_ref import checks
from gradreg_ref.backends import Capabilities, require_device
from gradreg_ref.networks import Network
from gradreg_ref.typing import Array, Law

DTYPES = {
    "float64": jnp.float64,
    "float32": jnp.float32,
    "bfloat16": jnp.bfloat16,
    "float16": jnp.float16,
}
DRAW = jax.jit(draw_probes, static_argnums=range(4), static_argnames="dtype")


class JaxBackend:
    """JAX, on whatever devices it sees; gradients by `jax.grad` of vector-Jacobian products."""

    name = "jax"

    def capabilities(self) -> Capabilities:
        """The installed JAX, and the devices it sees."""
        return Capabilities(
            f"jax {jax.__version__}",
            {name: device.device_kind for name, device in devices().items()},
            tuple(DTYPES),
            ("reverse", "forward"),
            ("output", "input"),
        )

    def value(
        self, penalty: str, network: Network, x: Array, y: Array | None = None, **options: Any
    ) -> Array:
        """By vector-Jacobian products."""
        return to_numpy(self.run(0, penalty, network, x, y, **options))

    def gradient(
        self, penalty: str, network: Network, x: Array, y: Array | None = None, **options: Any
    ) -> Array:
        """By `jax.grad`."""
        gradients = self.run(1, penalty, network, x, y, **options)
        return np.concatenate([to_numpy(g).ravel() for g in gradients] or [np.zeros(0)])

    def run(
        self,
        which: int,
        penalty: str,
        network: Network,
        x: Array,
        y: Array | None,
        *,
        dtype: str = "float64",
        device: str = "cpu",
        seed: int | None = None,
        **options: Any,
    ) -> Any:
        """Program `which` of the penalty: its value (0) or its gradient (1)."""
        checks.choice("penalty", penalty, FUNCTIONS)
        precision = DTYPES[checks.choice("dtype", dtype, DTYPES)]
        require_device(self, device)
        if options.pop("side", "output") == "input":
            options["mode"] = "forward"
        inputs = in_precision(x, precision)
        labels = None if y is None else in_precision(y, precision)
        with placed(device):
            f, params = to_jax(network, precision)
            random = {} if seed is None else {"key": jax.random.key(seed)}
            if "probes" in options:
                random["probes"] = in_precision(options.pop("probes"), precision)
            program = programs(Problem(penalty, network, options))[which]
            # Op by op a draw is compiled once for all penalties, and is most of their programs.
            whole = seed is None and ordinary(f, params, inputs, labels, random.get("probes"))
            with jax.disable_jit(not whole):
                return program(params, inputs, labels, random)

    def draw(
        self, probe: Law, n: int, m: int, num_probes: int, *, seed: int, device: str = "cpu"
    ) -> Array:
        """Probes r[n, k, q] as `value` draws them for that seed, in float64."""
        require_device(self, device)
        with placed(device):
            key = jax.random.key(seed)
            return to_numpy(DRAW(probe, n, m, num_probes, key=key, dtype=jnp.float64))


def devices() -> dict[str, Any]:
    """Every device by name: "cpu" for the first CPU, else platform and number, as in "gpu:0"."""
    cpus, others = jax.devices("cpu"), [d for d in jax.devices() if d.platform != "cpu"]
    return {"cpu": cpus[0]} | {f"{d.platform}:{d.id}": d for d in (*others, *cpus[1:])}


@contextmanager
def placed(device: str) -> Iterator[None]:
    """On that device, with float64."""
    with jax.enable_x64(True), jax.default_device(devices()[device]):
        yield


def ordinary(f: Any, params: Any, x: Any, y: Any, probes: Any) -> bool:
    """Whether no number is one to refuse: compiled code cannot look, and op by op it is refused."""
    if not all(np.isfinite(a).all() for a in (x, y, probes) if a is not None):
        return False
    if y is None or y.dtype.kind == "f" or 0 in y.shape:
        return y is None or y.dtype.kind == "f"
    try:
        _, m = jax.eval_shape(f, params, x).shape
    except Exception:  # a shape that does not fit: the penalty says which
        return False
    return bool(y.min() >= 0 and y.max() < m)


def in_precision(a: Any, dtype: Any) -> Any:
    """A copy; of that dtype where it is floating."""
    a = np.array(a)
    return a.astype(dtype) if a.dtype.kind == "f" else a


def to_numpy(a: Any) -> Array:
    """A float64 copy on the host."""
    return np.asarray(a).astype(np.float64)
