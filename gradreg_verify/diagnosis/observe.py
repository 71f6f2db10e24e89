"""What a function gives on the networks of the kit: value, slope, and what it drew."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from time import perf_counter

import numpy as np

from gradreg_ref.complex_step import directional_derivative
from gradreg_ref.networks import Network
from gradreg_ref.penalties import Case
from gradreg_ref.typing import Array
from gradreg_verify.claims.comparison import FLOOR, direction_for
from gradreg_verify.diagnosis.factors import Sizes
from gradreg_verify.examples import Example
from gradreg_verify.frameworks.harness import Call
from gradreg_verify.outcomes import Broken, NotTestable
from gradreg_verify.subject.declaration import Declaration
from gradreg_verify.subject.declared import DeclaredPenalty
from gradreg_verify.subject.suited import suited

SEED = 3


@dataclass(frozen=True)
class Slope:
    """A derivative along a direction of parameters, or why there is none.

    Parameters
    ----------
    value : float
        NaN where there is none.
    size : float
        Of the terms that cancel in the value.
    raised : str
        Why there is none.
    """

    value: float = np.nan
    size: float = 0.0
    raised: str = ""


@dataclass(frozen=True)
class Observed:
    """What the function itself gives at an example, its scale and reduction included.

    Parameters
    ----------
    one : DeclaredPenalty
        The function.
    e : Example
        Where.
    call : Call
        How it was called.
    value : float
        Summed where there is one an example.
    each : bool
        Whether it was one an example.
    given : array, optional
        Probes that were handed over.
    telling : bool
        Smooth, and of ordinary size: nothing coincides by accident.
    own : bool
        Whether the network is of the kit's list, and was not made to show a failure.
    factor : float
        By which the logits of the bundled example were multiplied.
    """

    one: DeclaredPenalty
    e: Example
    call: Call
    value: float
    each: bool = False
    given: Array | None = None
    telling: bool = False
    own: bool = True
    factor: float = 1.0

    @cached_property
    def case(self) -> Case:
        """Network, logits, Jacobian, and the labels or targets that the function takes."""
        return Case.at(self.call.network, self.call.x, self.call.y)

    @property
    def sizes(self) -> Sizes:
        """B, m, d and pixels."""
        x = self.e.x
        return len(x), self.case.z.shape[1], x[0].size, int(np.prod(x.shape[2:]))

    @cached_property
    def slope(self) -> Slope:
        """Return the slope in evaluation mode."""
        return _slope_of(self, training=False)

    @cached_property
    def training(self) -> Slope | None:
        """Return the slope in training mode, at telling networks that are the same in it."""
        return _slope_of(self, training=True) if self.telling and not self.e.batch_norm else None

    @cached_property
    def in_training(self) -> float | None:
        """Return the value in training mode, at the networks of `training`, or None."""
        if not self.telling or self.e.batch_norm:
            return None
        try:
            return float(self.one.harness.value(replace(self.call, training=True)).sum())
        except Exception:  # whatever a function under test raises; `training` says so
            return None

    @cached_property
    def probes(self) -> Array | None:
        """r[n, k, q], or v[n, i, q] of the inputs, as far as they are known."""
        r = _drawn(self) if self.given is None else self.given
        return None if r is None else np.broadcast_to(r, (len(self.e.x), *r.shape[1:]))

    def along(self, f: Callable[[Network], Array]) -> float:
        """The slope of a function of networks like this one, by complex step."""
        return float(directional_derivative(f, self.e.network, direction_for(self.e)))

    @property
    def shared(self) -> bool:
        """Whether all examples of the batch have one probe."""
        r = self.probes
        return r is not None and len(self.e.x) > 1 and bool((r == r[:1]).all())

    @property
    def repeated(self) -> bool:
        """Whether the probes of each example are one probe several times."""
        r = self.probes
        return r is not None and r.shape[2] > 1 and bool((r == r[:, :, :1]).all())


@dataclass(frozen=True)
class Seen:
    """All observations.

    Parameters
    ----------
    observed : list of Observed
        Where there was a value.
    refused : list of Example and str
        Where there was none, and why.
    chance : {"", "seeded", "unseeded"}
        Whether the value changes with the seed, or with every call.
    arguments : tuple of str
        What it was called with.
    """

    observed: list[Observed]
    refused: list[tuple[Example, str]]
    chance: str
    arguments: tuple[str, ...]

    @property
    def telling(self) -> list[Observed]:
        """Return the observations at smooth networks, where nothing coincides by accident."""
        return [o for o in self.observed if o.telling]


def observations(
    one: DeclaredPenalty, more: tuple[Example, ...] = (), end: float = float("inf")
) -> Seen:
    """Observe more examples and the kit's networks, until `perf_counter` is at `end`, or Hung."""
    observed: list[Observed] = []
    refused: list[tuple[Example, str]] = []
    repeated, reseeded = True, 0
    for e, telling, factor in (*((e, False, 1.0) for e in more), *_places(one.declaration)):
        if perf_counter() > end:
            break
        try:
            own = all(e is not another for another in more)
            o = replace(observe(one, e), telling=telling, own=own, factor=factor)
            if telling:
                repeated = repeated and observe(one, e).value == o.value
                reseeded += observe(one, e, seed=SEED + 1 + len(observed)).value != o.value
        except (Broken, NotTestable) as why:
            refused.append((e, str(why)))
            continue
        observed.append(o)
    # Once may be a state that changes now and then.
    chance = "unseeded" if not repeated else "seeded" if reseeded > 1 else ""
    return Seen(observed, refused, chance, one.harness.arguments)


def _places(d: Declaration) -> Iterator[tuple[Example, bool, float]]:
    """The bundled examples, whether they are telling, and three with a scaled last layer."""
    scaled = 0
    for e in suited(d):
        if not d.can_have(e.m):
            continue
        smooth = not e.exact and np.abs(e.z).max() <= 50
        yield e, smooth, 1.0
        if smooth and not d.softmax and scaled < 3:
            scaled += 1
            yield from ((e.scaled(factor), False, factor) for factor in (32.0, 1 / 32))


def observe(
    one: DeclaredPenalty, e: Example, given: Array | None = None, seed: int = SEED
) -> Observed:
    """The function at an example, at the probes given or at those of a seed.

    Raises
    ------
    Broken, NotTestable
        It gives no value.
    """
    call = one.at(e, seed)
    if given is None:
        given = one.probes.must_be_given(seed, e.network, e.x)
    else:
        call = replace(call, supply=one.probes.supply(given, len(e.x)))
    value = one.harness.value(call)
    return Observed(one, e, call, float(value.sum()), value.shape == (len(e.x),), given)


def _slope_of(o: Observed, *, training: bool) -> Slope:
    """The slope in a mode of the model."""
    try:
        gradient = o.one.harness.gradient(replace(o.call, training=training))
    except Broken as why:
        return Slope(raised=str(why))
    except Exception as error:  # whatever the derivative of a function under test raises
        return Slope(raised=f"raised {type(error).__name__}")
    direction = direction_for(o.e)
    if gradient.shape != direction.shape:
        return Slope(raised=f"expected {direction.size} numbers, got shape {gradient.shape}")
    terms = float(np.abs(gradient * direction).max())
    size = max(terms, FLOOR * float(np.abs(direction).sum()))  # as the claims have it
    return Slope(float(gradient @ direction), size)


def _drawn(o: Observed) -> Array | None:
    """The numbers drawn, as probes r[n, k, q], where every call of a random function draws one."""
    d, (n, m, _) = o.one.declaration, o.e.probes.shape
    m = o.e.x[0].size if d.side == "input" else m
    draws = o.one.harness.draws(o.call)
    kinds = {draw.kind for draw in draws}
    sizes = {draw.values.size for draw in draws}
    if d.probe == "onehot" or len(kinds) != 1 or len(sizes) != 1 or not sizes <= {n * m, m}:
        return None
    drawn = [draw.values.reshape(-1, m) for draw in draws]
    row_by_row = len(draws) == n and sizes == {m} and d.num_probes == 1 and not d.shared_probe
    r = np.concatenate(drawn)[:, :, None] if row_by_row else np.stack(drawn, axis=2)
    if kinds == {"integer"} and d.probe == "rademacher":
        r = 2 * r - 1
    return np.broadcast_to(r, (n, *r.shape[1:]))
