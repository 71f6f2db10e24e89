"""What a backend is, and where backends are found.

A backend computes the penalties of `gradreg_ref` for a reference `Network`, by its own means, and
gives back plain arrays; everything that checks backends needs no more than this. Backends register
under the entry-point group ``gradreg_verify.backends``, so that a third party can add one.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from gradreg_ref.networks import Network
from gradreg_ref.typing import Array, Law

if TYPE_CHECKING:
    from gradreg_verify.subject.declared import DeclaredPenalty

_GROUP = "gradreg_verify.backends"
DTYPES = ("float64", "float32", "bfloat16", "float16")  # of the frameworks, by these names


@dataclass(frozen=True)
class Capabilities:
    """What a backend can do on this machine.

    Parameters
    ----------
    framework : str
        Name and version.
    devices : mapping
        Device name to its description, with its memory.
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
    """An implementation of the penalties.

    Where a derivative along one direction costs less than a gradient, a backend may also have
    ``slope(penalty, network, x, y, direction, **options)``, which is ``gradient @ direction``.
    ``steady(generators)`` may give a context in which results depend on no settings for speed: on
    the number of threads, or on products in a lower precision. It restores the random states of the
    process and of these generators.
    """

    name: str

    def capabilities(self) -> Capabilities:
        """Return what is here."""

    def value(
        self, penalty: str, network: Network, x: Array, y: Array | None = None, **options: Any
    ) -> Array:
        """Value, () or (n,), of a penalty of `gradreg_ref.penalties.PENALTIES`.

        `options` are those of the reference's function of that name, with NumPy arrays, `seed`
        where that has a generator, and dtype="float64" and device="cpu" where nothing is said.
        `y` is used by the penalties that have labels.
        """

    def gradient(
        self, penalty: str, network: Network, x: Array, y: Array | None = None, **options: Any
    ) -> Array:
        """∇_θ of the sum of `value`, flat, in the order of `network.parameters()`."""

    def draw(
        self, probe: Law, n: int, m: int, num_probes: int, *, seed: int, device: str = "cpu"
    ) -> Array:
        """Probes r[n, k, q] as `value` draws them for that seed."""

    def functions_declared(self, device: str) -> "list[DeclaredPenalty]":
        """The backend's functions one by one; empty where it has none."""


class BackendUnavailable(RuntimeError):
    """A backend whose framework is not installed, or a device that is not there."""


def names() -> list[str]:
    """Registered backends, installed frameworks or not."""
    return sorted({point.name for point in entry_points(group=_GROUP)})


def install(extra: str) -> str:
    """The command that installs an extra: from an index, or in a clone of the repository."""
    return f"pip install 'gradreg-ref[{extra}]', or in a clone: pip install '.[{extra}]'"


def load(name: str) -> Backend:
    """The backend of that name.

    Raises
    ------
    ValueError
        No such name.
    BackendUnavailable
        Its framework is not installed.
    """
    points = {point.name: point for point in entry_points(group=_GROUP)}
    if not isinstance(name, str) or name not in points:
        raise ValueError(f"expected a backend among {', '.join(sorted(points))}; got {name!r:.60}")
    try:
        backend: Backend = points[name].load()()
    except ModuleNotFoundError as error:
        raise BackendUnavailable(
            f"backend {name!r} needs {error.name}, which is not installed; {install(name)}"
        ) from error
    return backend


_AUTOMATIC = ("torch", "jax")  # in this order; nobody trains with the loopback


def choose(backend: str = "auto", device: str = "auto") -> tuple[Backend, str]:
    """The backend and the device; "auto" chooses by a rule, and the caller prints the choice.

    A backend is the first of `_AUTOMATIC` that is installed; if a device is named, the first that
    has it. A device is the backend's first accelerator, or the CPU where there is none.

    Raises
    ------
    ValueError, BackendUnavailable
        As `load` and `require_device`; no framework is installed.
    """
    if backend == "auto":
        return _automatic(device)
    chosen = load(backend)
    if device == "auto":
        devices = list(chosen.capabilities().devices)
        device = next((d for d in devices if not d.startswith("cpu")), "cpu")
    require_device(chosen, device)
    return chosen, device


def _automatic(device: str) -> tuple[Backend, str]:
    """The first of `_AUTOMATIC` that can be chosen."""
    missing = []
    for name in _AUTOMATIC:
        try:
            return choose(name, device)
        except BackendUnavailable as why:
            missing.append(str(why))
    raise BackendUnavailable("; ".join(missing))


@cache
def processor() -> str:
    """The CPU: cores and memory."""
    cores = f"{os.cpu_count()} cores"
    if "SC_PHYS_PAGES" not in getattr(os, "sysconf_names", {}):  # not Unix
        return cores
    return f"{cores}, {gibibytes(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES'))}"


def gibibytes(memory: int) -> str:
    """Write a number of bytes as in "139 GiB"."""
    return f"{memory / 2**30:.0f} GiB"


def require_device(backend: Backend, device: str) -> None:
    """Raise BackendUnavailable, naming what is there, if the device ("cuda:0", "cuda") is not."""
    devices = backend.capabilities().devices
    known = isinstance(device, str) and (device in devices or f"{device}:0" in devices)
    if not known:
        raise BackendUnavailable(
            f"expected a device of backend {backend.name!r} with float64 among "
            f"{', '.join(devices)}; got {device!r:.60}"
        )
