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
from gradreg_ref.penalties import PENALTIES, Case
from gradreg_ref.typing import Array
from gradreg_verify.claims.comparison import Target, arguments, direction_for
from gradreg_verify.claims.ledger import Claim
from gradreg_verify.diagnosis.factors import SAME, Factor, Sizes, fit, in_words, number, scale
from gradreg_verify.diagnosis.shrink import Counterexample, smallest
from gradreg_verify.diagnosis.variants import NUMBERS, OTHERS, VECTORS, square
from gradreg_verify.examples import Example, bundled
from gradreg_verify.frameworks.harness import Supply
from gradreg_verify.outcomes import Broken
from gradreg_verify.subject.declaration import Declaration
from gradreg_verify.subject.declared import DeclaredPenalty


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
    about_a_formula = claim.id not in ("rounding-bounded", "repeatable", "bad-input-refused")
    seen = list(observations(target.declared)) if about_a_formula else []
    computes = computed(seen, target.declared.declaration)
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
    """The numbers drawn, as probes r[n, k, q], where every call of a random function draws one."""
    d, (n, m, _) = one.declaration, e.probes.shape
    if d.probe is None:
        return None
    if d.side == "input":
        return None
    if supply.probes is not None:
        return supply.probes
    network, x, y = arguments(e, {"loss": d.loss})
    draws = one.harness.draws(network, x, y, supply, device=one.device)
    kinds = {draw.kind for draw in draws}
    sizes = {draw.values.size for draw in draws}
    if d.probe == "onehot" or len(kinds) != 1 or len(sizes) != 1 or not sizes <= {n * m, m}:
        return None
    columns = [draw.values.reshape(-1, m) for draw in draws]
    r = np.stack(columns, axis=2)
    if kinds == {"integer"} and d.probe == "rademacher":
        r = 2 * r - 1
    return np.broadcast_to(r, (n, m, len(draws)))


OF_WEIGHTS = ("Σ‖W", "Σ‖θ")  # which no batch has a part in


AS_DECLARED = "Its formula is the one declared: what is wrong is elsewhere."


def computed(seen: list[Observed], declared: Declaration) -> str:
    """A sentence on what was computed; "" where nothing fits."""
    if all(abs(o.value) < SAME for o in seen):
        return "It is zero everywhere." if seen else ""
    obtained, value_only = np.array([o.value for o in seen]), ""
    shared = any(o.shared for o in seen)
    for name, f in variants(seen):
        try:
            values = np.array([float(f(o.case, o.probes).real) for o in seen])
        except (ValueError, IndexError):  # labels that are no targets, or the other way round
            continue
        factor = fit(obtained, values, [o.sizes for o in seen])
        if factor is None:
            continue
        sentence = f"It computes {said(factor, name)}"
        sentence += ", one probe for the whole batch" if shared else ""
        if all(o.slope is None for o in seen):
            return f"{sentence}, and carries no graph: a constant to the optimiser."
        wrong = about_the_gradient(seen, f, factor)
        if not wrong:
            meant = is_declared(factor, name, declared) and shared <= declared.shared_probe
            return AS_DECLARED if meant else f"{sentence}."
        value_only = value_only or f"{sentence}; but its gradient is {wrong}."
    return value_only


def said(factor: Factor, name: str) -> str:
    """Factor and variant in words."""
    words = in_words(factor)
    return (
        words.removesuffix("the batch sum of ") if name.startswith(OF_WEIGHTS) else words
    ) + name


def is_declared(factor: Factor, name: str, declared: Declaration) -> bool:
    """Whether a variant that fits is the penalty that was declared."""
    power = {"mean": -1, "sum": 0, "none": 0}[declared.reduction]
    same_factor = factor[1:] == (power, 0, 0) and abs(factor[0] / declared.scale - 1) < SAME
    return same_factor and name.startswith(f"{PENALTIES[declared.kind].title}, ")


def about_the_gradient(seen: list[Observed], f: Any, factor: Factor) -> str:
    """What the slopes obtained are, where they are not those of a variant that fits in value."""
    expected = np.array([scale(factor, o.sizes) * slope(f, o) for o in seen])
    got = np.array([o.slope or 0.0 for o in seen])
    if np.abs(got - expected).max() <= SAME * np.abs(expected).max():
        return ""
    ratios = got[expected != 0] / expected[expected != 0]
    if np.ptp(ratios) < SAME and abs(ratios[0]) > SAME:
        return f"{number(float(ratios[0]))} × that of its value"
    return "not that of its value" if got.any() else "zero"


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
