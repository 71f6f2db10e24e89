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
from gradreg_verify.diagnosis.expected import near
from gradreg_verify.diagnosis.factors import Factor, fit, in_words, scale
from gradreg_verify.diagnosis.forms import NUMBERS, OTHERS, Form, Other, square
from gradreg_verify.diagnosis.observe import Observed, Seen
from gradreg_verify.diagnosis.variants import VECTORS, Known
from gradreg_verify.diagnosis.words import about_the_gradient


@dataclass(frozen=True)
class Variant:
    """A name and a number (case, probes), of every example summed or of the whole batch."""

    name: str
    of: Callable[[Case, Array | None], Array]
    random: bool = False
    whole: bool = False

    def at(self, o: Observed, c: Case) -> Array:
        """At the case of an observation, or at one like it with other parameters."""
        return self.of(c, o.probes if self.random else None)


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
    probed = bool(seen.chance) and all(o.probes is not None for o in seen.observed)
    for variant in variants(probed):
        try:
            values = np.array([float(variant.at(o, o.case).real) for o in observed])
        except (ValueError, IndexError):  # labels that are no targets, or the other way round
            continue
        factor = fit(obtained, values, [o.sizes for o in observed])
        if factor is None:
            continue
        sentence = f"It computes {in_words(factor, variant.whole)}{variant.name}"
        if probed and any(o.shared for o in observed):
            sentence += ", one probe for the whole batch"
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
        if near(o.value, scale(factor, o.sizes) * float(variant.at(o, o.case).real))
    ]
    if len(right) == len(computable):
        return ""
    return f" on {len(right)} of {len(computable)} networks"


def variants(probed: bool) -> Iterator[Variant]:
    """Every variant that can be computed; of random ones only where the probes are known."""
    for form, vector in product(NUMBERS, VECTORS):
        if vector.random and not probed:
            continue
        name = form.text.format(vector.name)
        if form.of is square and vector.penalty:
            name = f"{vector.penalty}, {name}"
        yield Variant(name, partial(of_vector, form, vector), vector.random, form.whole)
    for other in OTHERS:
        yield Variant(other.name, partial(of_case, other), whole=other.whole)


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
        return variant.at(o, c)

    return float(directional_derivative(at, o.e.network, direction_for(o.e)))
