"""The interface by which the kit calls one function in its framework.

`gradreg_verify.frameworks.torch.harness` is the one of torch. All mathematics stays out of it.
"""

import pickle
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import prod
from typing import Any

import numpy as np

from gradreg_ref.networks import Network
from gradreg_ref.typing import Array
from gradreg_verify.outcomes import Broken, Hung, NotAsked, NotTestable, raised
from gradreg_verify.subject.declaration import Declaration
from gradreg_verify.subject.signature import arguments_of, callee, name_of, required


@dataclass(frozen=True)
class Supply:
    """Where a call's randomness comes from.

    Parameters
    ----------
    seed : int
        Of the framework's global generator, or of the generator that is passed in.
    probes : array, optional
        Given as the function's argument.
    feed : tuple of Draw, optional
        What the framework's random functions return, one for each call. Normal numbers are of mean
        0 and variance 1, uniform ones of [0, 1]: a call makes its own of them.
    """

    seed: int = 0
    probes: Array | None = None
    feed: "tuple[Draw, ...] | None" = None


@dataclass(frozen=True)
class Call:
    """One call of a function under test.

    Parameters
    ----------
    network, x, y
        A network of the reference, inputs, and labels or targets.
    supply : Supply
        Where its randomness comes from.
    dtype, device : str
        In what precision, and where.
    training : bool
        The model's mode.
    no_grad : bool
        Whether gradients are switched off around the call.
    requires_grad : bool
        Whether x requires a gradient already.
    frozen : bool
        Whether the first array of parameters requires none, as in fine-tuning.
    only : int, optional
        The number of the array of parameters whose gradient is wanted, if not of all.
    weight : float
        What the value is multiplied by before it is differentiated, as λ in a loss.
    """

    network: Network
    x: Array
    y: Array
    supply: Supply
    dtype: str = "float64"
    device: str = "cpu"
    training: bool = False
    no_grad: bool = False
    requires_grad: bool = False
    frozen: bool = False
    only: int | None = None
    weight: float = 1.0


@dataclass(frozen=True)
class Draw:
    """A call of a random function of the framework: "normal", "uniform" or "integer"."""

    kind: str
    values: Array


def next_fed(left: deque[Draw], kind: str, shape: tuple[int, ...]) -> Any:
    """The numbers fed to a call that draws this kind and shape; NotTestable where it gets none."""
    if not left or left[0].kind != kind or np.size(left[0].values) != prod(shape):
        raise NotTestable(
            f"it draws {kind} numbers of shape {shape} here, which are not those it makes its "
            "probes of in the read-out: what it draws depends on more than batch and logits"
        )
    return left.popleft().values.reshape(shape)


class Harness(ABC):
    """A function under test, called in its framework.

    What the function does wrong as a function is `Broken`; what it raises is that.

    Parameters
    ----------
    function : callable
        Takes its arguments in order; "probes" and "generator" or "key" by keyword.
    declaration : Declaration
        Says which arguments, or else the signature does. Only a function that is declared to draw
        probes is given probes, or randomness that it can do without.
    seconds : float
        Of computing, in one call.
    """

    generators: Sequence[Any] = ()  # that the function keeps

    def __init__(
        self, function: Callable[..., Any], declaration: Declaration, seconds: float
    ) -> None:
        self.function, self.declaration, self.seconds = function, declaration, seconds
        shown = callee(function)
        asked = declaration.arguments or arguments_of(shown)
        random = declaration.probe is not None
        given = ("probes", "generator", "key")
        needed = [a for a in given if required(shown, a)]
        asked += tuple(a for a in needed if a not in asked)
        left_out = () if random else {*given} - ({*needed} - {"probes"})
        self.arguments = tuple(a for a in asked if a not in left_out)
        # Where none are given.
        self.draws_probes = bool({"generator", "key"} & {*asked}) or not required(shown, "probes")
        self.name = name_of(function)

    def answer(self, given: Mapping[str, Any], **random: Any) -> Any:
        """Return what the function returns: arguments in its own order, randomness by keyword."""
        keywords = {k: v for k, v in random.items() if k in self.arguments and v is not None}
        return self.function(*(given[a] for a in self.arguments if a in given), **keywords)

    @abstractmethod
    def value(self, call: Call) -> Array:
        """Return what the function returns, as it returns it."""

    @abstractmethod
    def gradient(self, call: Call) -> Array:
        """∇_θ of the sum of what it returns, flat."""

    @abstractmethod
    def after_a_step(self, call: Call, moved: Network) -> tuple[Array, Array]:
        """Two calls of a model asked at other inputs and labels too: the last at moved weights."""

    @abstractmethod
    def two_gradients(self, call: Call) -> tuple[Array, Array]:
        """Return the gradients of two calls in a row, seeded once."""

    def gradient_of_both(self, call: Call, other: Call) -> Array:
        """∇_θ of the sum of two calls' values; pure functions have it call by call."""
        return self.gradient(call) + self.gradient(other)

    def of_a_changing_model(self, call: Call) -> tuple[Array, list[float]]:
        """The value for a model whose logits have another factor in every pass, and the factors."""
        del call
        raise NotAsked("a model is a pure function")

    @abstractmethod
    def draws(self, call: Call, *, values: bool = True) -> list[Draw]:
        """The calls of random functions in one call; `values`: not their kinds and shapes alone."""

    def states_after(self, call: Call) -> Sequence[bytes]:
        """The states that one call leaves generators in; none where there are no generators."""
        del call
        return ()

    @abstractmethod
    def side_effects(self, call: Call, *, random: bool) -> list[str]:
        """What a call in training mode leaves changed, in words; `random`: it may draw."""


@contextmanager
def answering() -> Iterator[None]:
    """Around a call of the function: whatever it raises becomes `Broken`."""
    try:
        yield
    except (Broken, NotTestable, Hung, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise Broken(f"raised {raised(error)}") from error


def random_states() -> dict[str, Any]:
    """The global random states that no framework owns, as values that can be compared."""
    return {
        "NumPy's global random state": pickle.dumps(np.random.get_state()),
        "Python's global random state": random.getstate(),
    }
