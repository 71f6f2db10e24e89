"""E f(r) = Σ_p w_p f(r_p): expectations over a law of probes as finite, exact sums.

A rule of degree d has the exact mean of every polynomial of degree <= d. A penalty is a quadratic
form of its probe: a rule of degree 3 has its mean, a rule of degree 5 its variance, without a seed
and without sampling. Every law has E[r rᵀ] = I, so the sphere has radius √m. In the formulas of the
rules ± stands for every choice of signs, and the weight of each point follows in brackets.

Stroud, "Approximate Calculation of Multiple Integrals" (1971).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import inf

import numpy as np

from gradreg_ref import checks
from gradreg_ref.typing import Array, Law


@dataclass(frozen=True)
class Rule:
    """Points and weights that stand for a law of probes.

    Parameters
    ----------
    points : array (p, m)
        Probes r_p.
    weights : array (p,)
        w_p; they add up to 1, and some may be negative.
    law : {"gaussian", "rademacher", "sphere", "onehot"}
        The law of r.
    degree : float
        Up to which polynomials have their exact mean; inf where the law itself is finite.
    """

    points: Array
    weights: Array
    law: Law
    degree: float


def expectation(f: Callable[[Array], Array | float], rule: Rule) -> Array:
    """Compute E f = Σ_p w_p f(r_p).

    Parameters
    ----------
    f : callable
        Maps one probe (m,) to a number or to an array (…).
    rule : Rule
        Of at least the degree of f.

    Returns
    -------
    array (…)
    """
    return np.einsum("p,p...->...", rule.weights, np.array([f(r) for r in rule.points]))


def mean_and_variance(f: Callable[[Array], Array | float], rule: Rule) -> tuple[Array, Array]:
    """Compute E f and E (f − E f)², entry by entry.

    Parameters
    ----------
    f : callable
        Maps one probe (m,) to a number or to an array (…).
    rule : Rule
        Of at least the degree of f for the mean, and twice that for the variance.

    Returns
    -------
    tuple of array (…), array (…)
    """
    return moments_of(np.array([f(r) for r in rule.points]), rule)


def moments_of(values: Array, rule: Rule) -> tuple[Array, Array]:
    """Compute `mean_and_variance` from the values (p, …) of f at the rule's points."""
    mean = np.einsum("p,p...->...", rule.weights, values)
    return mean, np.einsum("p,p...->...", rule.weights, (values - mean) ** 2)


def gaussian_axes(m: int) -> Rule:
    """±√m e_i (1/(2m)): 2m points."""
    m = checks.count("m", m)
    return _assemble("gaussian", 3, (np.sqrt(m) * _axes(m), 1 / (2 * m)))


def stroud_5_2(m: int) -> Rule:
    """0 (2/(m+2)); ±√(m+2) e_i ((4−m)/(2(m+2)²)); √((m+2)/2) (±e_i ± e_j) (1/(m+2)²)."""
    m = checks.count("m", m)
    return _assemble(
        "gaussian",
        5,
        (np.zeros((1, m)), 2 / (m + 2)),
        (np.sqrt(m + 2) * _axes(m), (4 - m) / (2 * (m + 2) ** 2)),
        (np.sqrt((m + 2) / 2) * _pairs(m), 1 / (m + 2) ** 2),
    )


def all_signs(m: int) -> Rule:
    """{±1}^m (1/2^m): the law itself."""
    m = checks.count("m", m)
    return _assemble("rademacher", inf, (_signs(m), 1 / 2**m))


def sphere_axes(m: int) -> Rule:
    """±√m e_i (1/(2m)): 2m points."""
    m = checks.count("m", m)
    return _assemble("sphere", 3, (np.sqrt(m) * _axes(m), 1 / (2 * m)))


def sphere_degree_5(m: int) -> Rule:
    """±√m e_i ((4−m)/(2m(m+2))); √(m/2) (±e_i ± e_j) (1/(m(m+2))): 2m² points."""
    m = checks.count("m", m)
    return _assemble(
        "sphere",
        5,
        (np.sqrt(m) * _axes(m), (4 - m) / (2 * m * (m + 2))),
        (np.sqrt(m / 2) * _pairs(m), 1 / (m * (m + 2))),
    )


def onehot_classes(m: int) -> Rule:
    """√m e_c (1/m): the law itself. Its mean is not zero; only E[r rᵀ] = I matters here."""
    m = checks.count("m", m)
    return _assemble("onehot", inf, (np.sqrt(m) * np.eye(m), 1 / m))


def _axes(m: int) -> Array:
    """±e_i, (2m, m)."""
    return np.concatenate([np.eye(m), -np.eye(m)])


def _pairs(m: int) -> Array:
    """±e_i ± e_j for i < j, (2m(m−1), m)."""
    e = np.eye(m)
    found = [s * e[i] + t * e[j] for i, j in combinations(range(m), 2) for s, t in _signs(2)]
    return np.array(found).reshape(-1, m)


def _signs(m: int) -> Array:
    """{±1}^m, (2^m, m)."""
    return 2.0 * np.indices((2,) * m).reshape(m, -1).T - 1


def _assemble(law: Law, degree: float, *orbits: tuple[Array, float]) -> Rule:
    """Put sets of points together, each with the weight of every one of its points."""
    points = np.concatenate([points for points, _ in orbits])
    weights = np.concatenate([np.full(len(points), w) for points, w in orbits])
    return Rule(points, weights, law, degree)
