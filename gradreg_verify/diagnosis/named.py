"""The variant, of those that have a name, that fits the numbers obtained."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import product

import numpy as np

from gradreg_ref.complex_step import directional_derivative
from gradreg_ref.networks import Network
from gradreg_ref.penalties import Case
from gradreg_ref.typing import Array
from gradreg_verify.claims.comparison import direction_for
from gradreg_verify.diagnosis.factors import Factor, fit, in_words, scale
from gradreg_verify.diagnosis.forms import NUMBERS, OTHERS, Form, Other, square
from gradreg_verify.diagnosis.observe import Observed, Seen, near
from gradreg_verify.diagnosis.variants import VECTORS, Known
from gradreg_verify.diagnosis.words import about_the_gradient


@dataclass(frozen=True)
class Variant:
    """A name and a number (case, probes), of every example summed or of the whole batch."""

    name: str
    of: Callable[[Case, Array | None], Array]
    whole: bool = False


def named(seen: Seen, *, gradient: bool = False) -> str:
    """A sentence on the variant that fits in value and slope; "" where there is none.

    Parameters
    ----------
    gradient : bool
        False: one that fits in value alone will do.
    """
    value_only = ""
    observed = seen.telling
    obtained = np.array([o.value for o in observed])
    for variant in variants(observed):
        try:
            values = np.array([float(variant.of(o.case, o.probes).real) for o in observed])
        except (ValueError, IndexError):  # labels that are no targets, or the other way round
            continue
        factor = fit(obtained, values, [o.sizes for o in observed])
        if factor is None:
            continue
        sentence = f"It computes {in_words(factor, variant.whole)}{variant.name}"
        sentence += ", one probe for the whole batch" if any(o.shared for o in observed) else ""
        expected = [scale(factor, o.sizes) * slope(variant, o) for o in observed]
        wrong = about_the_gradient(observed, np.array(expected))
        if not wrong:
            return sentence + elsewhere(variant, factor, seen) + "."
        value_only = value_only or f"{sentence}{elsewhere(variant, factor, seen)}{wrong}."
    return "" if gradient else value_only


def elsewhere(variant: Variant, factor: Factor, seen: Seen) -> str:
    """On how many networks, where it is not on all of those that it can be computed at."""
    computable = [o for o in seen.observed if o.case.z.shape[1] > 1 or o.telling]
    right = [
        o
        for o in computable
        if near(o.value, scale(factor, o.sizes) * float(variant.of(o.case, o.probes).real))
    ]
    if len(right) == len(computable):
        return ""
    return f" on {len(right)} of {len(computable)} networks"


def variants(observed: list[Observed]) -> Iterator[Variant]:
    """Every variant that can be computed."""
    for form, vector in product(NUMBERS, VECTORS):
        if vector.random and any(o.probes is None for o in observed):
            continue
        name = form.text.format(vector.name)
        if form.of is square and vector.penalty:
            name = f"{vector.penalty}, {name}"
        yield Variant(name, partial(of_vector, form, vector), form.whole)
    for other in OTHERS:
        yield Variant(other.name, partial(of_case, other), other.whole)


def of_vector(form: Form, vector: Known, c: Case, r: Array | None) -> Array:
    """The number made of a vector."""
    return np.asarray(form.of(vector.vector(c, np.asarray(r))).sum())


def of_case(other: Other, c: Case, r: Array | None) -> Array:
    """The number made of logits or weights."""
    del r
    return np.asarray(other.of(c).sum())


def slope(variant: Variant, o: Observed) -> float:
    """The variant's derivative along the direction, by complex step."""

    def at(network: Network) -> Array:
        c = Case(network, network.forward(o.e.x), network.jacobian(o.e.x), o.case.y)
        return variant.of(c, o.probes)

    return float(directional_derivative(at, o.e.network, direction_for(o.e)))
