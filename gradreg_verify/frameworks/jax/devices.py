"""Where and in what precision: devices and dtypes by their names, arrays there and back."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradreg_ref.typing import Array
from gradreg_verify.frameworks import registry
from gradreg_verify.frameworks.registry import Capabilities, gibibytes, processor

DTYPES = {name: getattr(jnp, name) for name in registry.DTYPES}


def capabilities() -> Capabilities:
    """The installed JAX, and the devices it sees."""
    devices = {name: _described(device) for name, device in _devices().items()}
    framework, modes = f"jax {jax.__version__}", ("reverse", "forward")
    return Capabilities(framework, devices, tuple(DTYPES), modes, ("output", "input"))


def _devices() -> dict[str, Any]:
    """Return devices by name: "cpu" for the first CPU, else platform and number ("gpu:0")."""
    cpus, others = jax.devices("cpu"), [d for d in jax.devices() if d.platform != "cpu"]
    return {"cpu": cpus[0]} | {f"{d.platform}:{d.id}": d for d in (*others, *cpus[1:])}


def _described(device: Any) -> str:
    """Kind and memory."""
    if device.platform == "cpu":
        return processor()
    limit = (device.memory_stats() or {}).get("bytes_limit")
    return f"{device.device_kind}" + (f", {gibibytes(limit)}" if limit else "")


@contextmanager
def placed(device: str, *, x64: bool = True) -> Iterator[None]:
    """Compute on that device, with or without float64, inside the context.

    Without, ``jnp.eye(m)`` and ``jax.random.normal(key, shape)`` are in float32, as they are for
    a user who computes in float32: many functions pass no dtype.
    """
    devices = _devices()
    here = devices[device] if device in devices else devices[f"{device}:0"]
    with jax.enable_x64(x64), jax.default_device(here):
        yield


def in_precision(a: Any, dtype: Any) -> Any:
    """A copy; of that dtype where it is floating."""
    a = np.array(a)
    return a.astype(dtype) if a.dtype.kind == "f" else a


def to_numpy(a: Any) -> Array:
    """A float64 copy on the host."""
    return np.asarray(a).astype(np.float64)


def flat(gradients: Any) -> Array:
    """Flatten gradients in the order of the reference."""
    return np.concatenate([to_numpy(g).ravel() for g in gradients] or [np.zeros(0)])
