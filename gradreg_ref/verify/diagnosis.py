"""What an implementation computes instead, and the smallest network that shows it.

The numbers obtained, value and slope along a direction of parameters, are held against a · B^i m^j
d^k × every variant of `variants`, B the batch, m logits, d input coordinates: one that fits all
networks to 1e-8, in value and in slope, with one factor a, is what it computes.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np

from gradreg_ref.complex_step import directional_derivative
from gradreg_ref.loopback import Case
from gradreg_ref.typing import Array
from gradreg_ref.verify.claims import Claim
from gradreg_ref.verify.comparison import Target, arguments, direction_for
from gradreg_ref.verify.declared import DeclaredPenalty
from gradreg_ref.verify.examples import Example, bundled
from gradreg_ref.verify.factors import SAME, Sizes, fit, in_words, number, scale
from gradreg_ref.verify.harness import Supply
from gradreg_ref.verify.outcomes import Broken, NotTestable
from gradreg_ref.verify.shrink import Counterexample, smallest
from gradreg_ref.verify.variants import NUMBERS, OTHERS, VECTORS, square


@dataclass(frozen=True)
class Diagnosis:
    """Why a claim fails.

    Parameters
    ----------
    claim : str
        Id of the first that fails.
    computes : str
        What is computed on the smooth networks of the kit; "" where no known variant fits.
    counterexample : Counterexample, optional
        The smallest network found.
    """

    claim: str
    computes: str
    counterexample: Counterexample | None

    def __str__(self) -> str:
        lines = [f"{self.claim} fails."]
        if self.computes:
            lines = [f"{self.claim} fails. {self.computes}"]
        if self.counterexample is not None:
            lines.append(str(self.counterexample))
        return "\n".join(lines)


@dataclass(frozen=True)
class Observed:
    """Value and slope of the function itself, its scale and reduction included, at an example."""

    e: Example
    case: Case
    probes: Array | None
    value: float
    slope: float | None
    shared: bool

    @property
    def sizes(self) -> Sizes:
        """B, m, d."""
        return len(self.e.x), self.case.z.shape[1], self.e.x[0].size


def diagnose(target: Target, claim: Claim) -> Diagnosis:
    """Of a function for which the claim fails."""
    assert target.declared is not None
    about_a_formula = claim.id not in ("S14", "S19", "S20")
    computes = computed(list(observations(target.declared))) if about_a_formula else ""
    return Diagnosis(claim.id, computes, smallest(target, claim))


def observations(one: DeclaredPenalty) -> Iterator[Observed]:
    """At the smooth bundled examples, where nothing coincides by accident."""
    d = one.declaration
    for e in bundled():
        network, x, y = arguments(e, {"loss": d.loss})
        m = e.probes.shape[1]
        if e.exact or np.abs(e.z).max() > 50 or (d.probe is not None and m <= d.num_probes):
            continue
        supply = one.probes.of_seed(3, network, x)
        case = Case(network, network.forward(x), network.jacobian(x), y)
        try:
            value = float(one.harness.value(network, x, y, supply, device=one.device).sum())
        except Broken:
            continue
        try:
            gradient = one.harness.gradient(network, x, y, supply, device=one.device)
            slope = float(gradient @ direction_for(e))
        except Broken:
            slope = None
        probes = probes_of(one, e, supply)
        shared = probes is not None and len(e.x) > 1 and bool((probes == probes[:1]).all())
        yield Observed(e, case, probes, value, slope, shared)


def probes_of(one: DeclaredPenalty, e: Example, supply: Supply) -> Array | None:
    """The numbers drawn, as probes r[n, k, q]: those recorded where one call makes them all."""
    d, (n, m, _) = one.declaration, e.probes.shape
    if d.probe is None:
        return None
    if d.side == "input":
        return None
    if supply.probes is not None:
        return supply.probes
    network, x, y = arguments(e, {"loss": d.loss})
    draws = one.harness.draws(network, x, y, supply, device=one.device)
    for draw in draws if d.probe != "onehot" else []:
        r = draw.values
        if draw.kind == "integer" and d.probe == "rademacher":
            r = 2 * r - 1
        if len(draws) == 1 and r.size in (n * m, m):
            return np.broadcast_to(r.reshape(-1, m, 1), (n, m, 1))
    try:
        r = one.probes.draw(n, m, seed=3)
    except (Broken, NotTestable):
        return None
    return np.broadcast_to(r, (n, *r.shape[1:]))


OF_WEIGHTS = ("Σ‖W", "Σ‖θ")  # which no batch has a part in


def computed(seen: list[Observed]) -> str:
    """A sentence on what was computed; "" where nothing fits."""
    if all(abs(o.value) < SAME for o in seen):
        return "It is zero everywhere." if seen else ""
    obtained, value_only = np.array([o.value for o in seen]), ""
    for name, f in variants(seen):
        try:
            values = np.array([float(f(o.case, o.probes).real) for o in seen])
        except (ValueError, IndexError):  # labels that are no targets, or the other way round
            continue
        factor = fit(obtained, values, [o.sizes for o in seen])
        if factor is None:
            continue
        shared = ", one probe for the whole batch" if any(o.shared for o in seen) else ""
        words = in_words(factor)
        if name.startswith(OF_WEIGHTS):
            words = words.removesuffix("the batch sum of ")
        sentence = f"It computes {words}{name}{shared}"
        if all(o.slope is None for o in seen):
            return f"{sentence}, and carries no graph: a constant to the optimiser."
        scales = np.array([scale(factor, o.sizes) for o in seen])
        expected = scales * np.array([slope(f, o) for o in seen])
        got = np.array([o.slope or 0.0 for o in seen])
        if np.abs(got - expected).max() <= SAME * np.abs(expected).max():
            return sentence + "."
        ratios = got[expected != 0] / expected[expected != 0]
        if np.ptp(ratios) < SAME and abs(ratios[0]) > SAME:
            gradient = f"{number(float(ratios[0]))} × that of its value"
        else:
            gradient = "zero" if not got.any() else "not that of its value"
        value_only = value_only or f"{sentence}; but its gradient is {gradient}."
    return value_only


def variants(seen: list[Observed]) -> Iterator[tuple[str, Any]]:
    """Name and function (case, probes) of every variant that can be computed."""
    for (form, made), vector in product(NUMBERS, VECTORS):
        if vector.random and any(o.probes is None for o in seen):
            continue
        name = form.format(vector.name)
        if made is square and vector.penalty:
            name = f"{vector.penalty}, {name}"
        yield name, lambda c, r, f=made, v=vector: np.asarray(f(v.vector(c, r)).sum())
    for name, f in OTHERS:
        yield name, lambda c, _, f=f: np.asarray(f(c).sum())


def slope(f: Any, o: Observed) -> Array:
    """The variant's derivative along the direction, by complex step."""

    def at(network: Any) -> Array:
        c = Case(network, network.forward(o.e.x), network.jacobian(o.e.x), o.case.y)
        return np.asarray(f(c, o.probes))

    return directional_derivative(at, o.e.network, direction_for(o.e))
