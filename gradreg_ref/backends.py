"""What a backend is, and where backends are found.

A backend computes the penalties of this package for a reference `Network`, by its own means, and
gives back plain arrays; everything that checks backends needs no more than this. Backends register
under the entry-point group ``gradreg_ref.backends``, so that a third party can add one.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import Any, Protocol, runtime_checkable

from gradreg_ref.networks import Network
from gradreg_ref.typing import Array, Law

GROUP = "gradreg_ref.backends"
PENALTIES = (
    "frobreg",
    "spectreg",
    "doubleback",
    "jacreg",
    "onehot",
    "confidence_penalty",
    "weight_decay",
)


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do on this machine.

    Parameters
    ----------
    framework : str
        Name and version.
    devices : mapping
        Device name to its description.
    dtypes, modes, sides : tuple of str
        By name; modes are values of an option ``mode``, sides of the option ``side`` of spectreg.
    """

    framework: str
    devices: Mapping[str, str]
    dtypes: tuple[str, ...]
    modes: tuple[str, ...]
    sides: tuple[str, ...] = ("output",)


@runtime_checkable
class Backend(Protocol):
    """An implementation of the penalties."""

    name: str

    def capabilities(self) -> Capabilities:
        """What is here."""
        ...

    def value(
        self,
        penalty: str,
        network: Network,
        x: Array,
        y: Array | None = None,
        *,
        dtype: str = "float64",
        device: str = "cpu",
        **options: Any,
    ) -> Array:
        """Value, () or (n,), of a penalty of `PENALTIES`.

        `options` are those of the reference's function of that name, with NumPy arrays, and `seed`
        where that has a generator. `y` is used by the penalties that have labels.
        """
        ...

    def gradient(
        self,
        penalty: str,
        network: Network,
        x: Array,
        y: Array | None = None,
        *,
        dtype: str = "float64",
        device: str = "cpu",
        **options: Any,
    ) -> Array:
        """∇_θ of the sum of `value`, flat, in the order of `network.parameters()`."""
        ...

    def draw(
        self, probe: Law, n: int, m: int, num_probes: int, *, seed: int, device: str = "cpu"
    ) -> Array:
        """Probes r[n, k, q] as `value` draws them for that seed."""
        ...


class BackendUnavailable(RuntimeError):
    """A backend whose framework is not installed, or a device that is not there."""


def names() -> list[str]:
    """Registered backends, installed frameworks or not."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def load(name: str) -> Backend:
    """The backend of that name.

    Raises
    ------
    ValueError
        No such name.
    BackendUnavailable
        Its framework is not installed.
    """
    points = {point.name: point for point in entry_points(group=GROUP)}
    if name not in points:
        raise ValueError(f"expected a backend among {', '.join(sorted(points))}; got {name!r}")
    try:
        backend: Backend = points[name].load()()
    except ModuleNotFoundError as error:
        raise BackendUnavailable(
            f"backend {name!r} needs {error.name}, which is not installed; "
            f"pip install 'gradreg-ref[{name}]'"
        ) from error
    return backend


def require_device(backend: Backend, device: str) -> None:
    """Raise BackendUnavailable, naming what is there, if the device is not."""
    devices = backend.capabilities().devices
    if device not in devices:
        raise BackendUnavailable(
            f"expected a device of backend {backend.name!r} among {', '.join(devices)}; "
            f"got {device!r}"
        )
