"""What a framework contributes to the verification of one function in it.

`gradreg_verify.frameworks.torch.harness` is the one of torch. All mathematics stays out of it.
"""

from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from gradreg_ref.networks import Network
from gradreg_ref.typing import Array
from gradreg_verify.frameworks.registry import Capabilities
from gradreg_verify.outcomes import Broken, Hung, NotTestable, raised
from gradreg_verify.subject.signature import arguments_of, name_of, required, source_of


@dataclass(frozen=True)
class Supply:
    """Where a call's randomness comes from.

    Parameters
    ----------
    seed : int
        Of the framework's global generator, or of the generator that is passed in.
    probes : array, optional
        Given as the function's argument.
    feed : tuple of arrays, optional
        What the framework's random functions return, one array a call.
    """

    seed: int = 0
    probes: Array | None = None
    feed: tuple[Array, ...] | None = None


@dataclass(frozen=True)
class Draw:
    """A call of a random function of the framework: "normal", "uniform" or "integer"."""

    kind: str
    values: Array

    @property
    def shape(self) -> tuple[int, ...]:
        """Return the shape of what the function returned."""
        return self.values.shape


def next_fed(left: deque[Any], shape: tuple[int, ...]) -> Any:
    """The numbers fed to a call that draws this shape; NotTestable where none are of its size."""
    if not left or np.size(left[0]) != prod(shape):
        raise NotTestable(
            f"it draws numbers of shape {shape} here, which are not those it makes its probes of "
            "in the read-out: what it draws depends on more than batch and logits"
        )
    return left.popleft().reshape(shape)


class Called:
    """What every harness knows of its function.

    Parameters
    ----------
    function : callable
        Takes what `arguments` says, in order; "probes" and "generator" or "key" by keyword.
    arguments : tuple of str
        Those of `Declaration`; read off the signature where empty.
    seconds : float
        Of computing, in one call.
    random : bool
        Whether it is declared to draw probes: only then is it given probes or randomness.
    """

    def __init__(
        self,
        function: Callable[..., Any],
        arguments: tuple[str, ...] = (),
        seconds: float = 10.0,
        random: bool = True,
    ) -> None:
        self.function, self.seconds = function, seconds
        shown = self.shown(function)
        asked = arguments or arguments_of(shown)
        given = ("probes", "generator", "key")
        self.arguments = tuple(a for a in asked if random or a not in given)
        self.draws_probes = bool({"generator", "key"} & {*asked}) or not required(shown, "probes")
        self.name = name_of(function)

    def shown(self, function: Any) -> Any:
        """The object whose signature says what the function takes."""
        return function

    def provenance(self) -> dict[str, str]:
        """File and hash of the function's source."""
        return source_of(self.function)


@contextmanager
def answering() -> Iterator[None]:
    """Around a call of the function: whatever it raises becomes `Broken`."""
    try:
        yield
    except (Broken, NotTestable, Hung, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise Broken(f"raised {raised(error)}") from error


class Harness(Protocol):
    """A function under test, called in its framework.

    The settings of a call are dtype="float64", device="cpu", training=False (the model's mode),
    no_grad=False and requires_grad=False (of x). What the function does wrong as a function is
    `Broken`; what it raises is that.
    """

    name: str
    arguments: tuple[str, ...]
    draws_probes: bool  # where none are given

    def capabilities(self) -> Capabilities:
        """Return the capabilities of the framework on this machine."""
        ...

    def provenance(self) -> dict[str, str]:
        """Where the function comes from: module, file, hash of its source."""
        ...

    def value(self, network: Network, x: Array, y: Array, supply: Supply, **settings: Any) -> Array:
        """What the function returns, as it returns it."""
        ...

    def gradient(
        self, network: Network, x: Array, y: Array, supply: Supply, **settings: Any
    ) -> Array:
        """∇_θ of the sum of what it returns, flat."""
        ...

    def after_a_step(
        self, network: Network, moved: Network, x: Array, y: Array, supply: Supply, **settings: Any
    ) -> Array:
        """The second of two calls of one model: its parameters become those of `moved` between."""
        ...

    def two_gradients(
        self, network: Network, x: Array, y: Array, supply: Supply, **settings: Any
    ) -> tuple[Array, Array]:
        """Return the gradients of two calls in a row, seeded once."""
        ...

    def draws(
        self, network: Network, x: Array, y: Array, supply: Supply, **settings: Any
    ) -> tuple[list[Draw], tuple[Any, ...]]:
        """The calls of random functions in one call, and the state that generators are left in."""
        ...

    def side_effects(
        self, network: Network, x: Array, y: Array, supply: Supply, *, random: bool, device: str
    ) -> list[str]:
        """What a call in training mode leaves changed, in words; `random`: it may draw."""
        ...
