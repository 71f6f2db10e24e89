"""E f(r) = Σ_p w_p f(r_p): expectations over a law of probes as finite, exact sums.

A rule of degree d gives the exact mean of every polynomial of degree <= d. A penalty is a quadratic
form in its probe: degree 3 gives its mean, degree 5 its variance, with no seed and no sampling.
Every law has E[r rᵀ] = I, so the sphere has radius √m. In a formula ± is every choice of signs.

Stroud, "Approximate Calculation of Multiple Integrals" (1971); McNamee, Stenger, Numer. Math. 10
(1967); Mysovskikh (1980), as written by Lu, Darmofal, SIAM J. Sci. Comput. 26 (2004).
"""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import combinations
from math import inf

import numpy as np
from scipy.linalg import hadamard as sylvester
from scipy.linalg import helmert

from gradreg_ref import checks
from gradreg_ref.orthogonal_frames import orthogonal_frames
from gradreg_ref.typing import Array, Law

__all__ = ["RULES", "Rule", "expectation", "mean_and_variance", "orthogonal_frames", "product"]


@dataclass(frozen=True)
class Rule:
    """Points (p, m) and weights (p,), exact for `law` up to `degree` (inf: the law is finite)."""

    points: Array
    weights: Array
    law: Law
    degree: float


def expectation(f: Callable[[Array], Array | float], rule: Rule) -> Array:
    """Σ_p w_p f(r_p); f maps one probe (m,) to a number or to an array."""
    return np.einsum("p,p...->...", rule.weights, np.array([f(r) for r in rule.points]))


def mean_and_variance(f: Callable[[Array], Array | float], rule: Rule) -> tuple[Array, Array]:
    """E f and E (f − E f)², entry by entry; the second needs twice the degree of f."""
    values = np.array([f(r) for r in rule.points])
    mean = np.einsum("p,p...->...", rule.weights, values)
    return mean, np.einsum("p,p...->...", rule.weights, (values - mean) ** 2)


def gaussian_axes(m: int) -> Rule:
    """±√m e_i (1/(2m)): 2m points."""
    m = dimension(m)
    return assemble("gaussian", 3, (np.sqrt(m) * axes(m), 1 / (2 * m)))


def stroud_5_2(m: int) -> Rule:
    """0 (2/(m+2)); ±√(m+2) e_i ((4−m)/(2(m+2)²)); √((m+2)/2) (±e_i ± e_j) (1/(m+2)²)."""
    m = dimension(m)
    return assemble(
        "gaussian",
        5,
        (np.zeros((1, m)), 2 / (m + 2)),
        (np.sqrt(m + 2) * axes(m), (4 - m) / (2 * (m + 2) ** 2)),
        (np.sqrt((m + 2) / 2) * pairs(m), 1 / (m + 2) ** 2),
    )


def mcnamee_stenger(m: int) -> Rule:
    """0 (1 + (m²−7m)/18); ±√3 e_i ((4−m)/18); √3 (±e_i ± e_j) (1/36)."""
    m = dimension(m)
    return assemble(
        "gaussian",
        5,
        (np.zeros((1, m)), 1 + (m * m - 7 * m) / 18),
        (np.sqrt(3) * axes(m), (4 - m) / 18),
        (np.sqrt(3) * pairs(m), 1 / 36),
    )


def stroud_5_3(m: int) -> Rule:
    """±√((m+2)/2) e_i (4/(m+2)²); √((m+2)/(m−2)) {±1}^m (((m−2)/(m+2))² / 2^m)."""
    m = dimension(m, least=3)
    return assemble(
        "gaussian",
        5,
        (np.sqrt((m + 2) / 2) * axes(m), 4 / (m + 2) ** 2),
        (np.sqrt((m + 2) / (m - 2)) * signs(m), ((m - 2) / (m + 2)) ** 2 / 2**m),
    )


def mysovskikh(m: int) -> Rule:
    """0 (2/(m+2)); ±√(m+2) a_k (m²(7−m)/(2(m+1)²(m+2)²)); ±√(m+2) b_kl (2(m−1)²/((m+1)²(m+2)²)).

    The a_k are the m + 1 unit vertices of a regular simplex, b_kl = √(m/(2(m−1))) (a_k + a_l) the
    midpoints of its edges, pushed out to length 1: m² + 3m + 3 points.
    """
    m = dimension(m, least=2)
    a = np.sqrt((m + 1) / m) * helmert(m + 1).T
    a_plus_a = np.array([a_k + a_l for a_k, a_l in combinations(a, 2)])
    b = np.sqrt(m / (2 * (m - 1))) * a_plus_a
    d = (m + 1) ** 2 * (m + 2) ** 2
    return assemble(
        "gaussian",
        5,
        (np.zeros((1, m)), 2 / (m + 2)),
        (np.sqrt(m + 2) * np.concatenate([a, -a]), m * m * (7 - m) / (2 * d)),
        (np.sqrt(m + 2) * np.concatenate([b, -b]), 2 * (m - 1) ** 2 / d),
    )


def gauss_hermite(m: int) -> Rule:
    """0 (2/3) and ±√3 (1/6) on every coordinate: 3^m points."""
    line = assemble("gaussian", 5, (np.zeros((1, 1)), 2 / 3), (np.sqrt(3) * axes(1), 1 / 6))
    return product(line, dimension(m))


def all_signs(m: int) -> Rule:
    """{±1}^m (1/2^m): the law itself."""
    m = dimension(m)
    return assemble("rademacher", inf, (signs(m), 1 / 2**m))


def hadamard(m: int) -> Rule:
    """±rows of the first m columns of a Hadamard matrix: 2·2^⌈log₂ m⌉ points."""
    order = 2 ** (dimension(m) - 1).bit_length()
    H = sylvester(order)[:, :m].astype(float)
    return assemble("rademacher", 3, (np.concatenate([H, -H]), 1 / (2 * order)))


def sphere_axes(m: int) -> Rule:
    """±√m e_i (1/(2m)): 2m points."""
    m = dimension(m)
    return assemble("sphere", 3, (np.sqrt(m) * axes(m), 1 / (2 * m)))


def sphere_degree_5(m: int) -> Rule:
    """±√m e_i ((4−m)/(2m(m+2))); √(m/2) (±e_i ± e_j) (1/(m(m+2))): 2m² points."""
    m = dimension(m)
    return assemble(
        "sphere",
        5,
        (np.sqrt(m) * axes(m), (4 - m) / (2 * m * (m + 2))),
        (np.sqrt(m / 2) * pairs(m), 1 / (m * (m + 2))),
    )


def onehot_classes(m: int) -> Rule:
    """√m e_c (1/m): the law itself. Its mean is not zero; only E[r rᵀ] = I matters here."""
    m = dimension(m)
    return assemble("onehot", inf, (np.sqrt(m) * np.eye(m), 1 / m))


RULES: dict[str, Callable[[int], Rule]] = {
    "gaussian_axes": gaussian_axes,
    "stroud_5_2": stroud_5_2,
    "mcnamee_stenger": mcnamee_stenger,
    "stroud_5_3": stroud_5_3,
    "mysovskikh": mysovskikh,
    "gauss_hermite": gauss_hermite,
    "all_signs": all_signs,
    "hadamard": hadamard,
    "sphere_axes": sphere_axes,
    "sphere_degree_5": sphere_degree_5,
    "onehot_classes": onehot_classes,
}


def product(rule: Rule, copies: int) -> Rule:
    """Independent copies side by side: points (p^copies, copies · m), weights multiplied."""
    copies = checks.count("copies", copies)
    index = np.indices((len(rule.weights),) * copies).reshape(copies, -1).T
    points = rule.points[index].reshape(len(index), -1)
    return Rule(points, rule.weights[index].prod(axis=1), rule.law, rule.degree)


def axes(m: int) -> Array:
    """±e_i, (2m, m)."""
    return np.concatenate([np.eye(m), -np.eye(m)])


def pairs(m: int) -> Array:
    """±e_i ± e_j for i < j, (2m(m−1), m)."""
    e = np.eye(m)
    found = [s * e[i] + t * e[j] for i, j in combinations(range(m), 2) for s, t in signs(2)]
    return np.array(found).reshape(-1, m)


def signs(m: int) -> Array:
    """{±1}^m, (2^m, m)."""
    return 2.0 * np.indices((2,) * m).reshape(m, -1).T - 1


def assemble(law: Law, degree: float, *orbits: tuple[Array, float]) -> Rule:
    """Put sets of points together, each with the weight of every one of its points."""
    points = np.concatenate([points for points, _ in orbits])
    weights = np.concatenate([np.full(len(points), w) for points, w in orbits])
    return Rule(points, weights, law, degree)


def dimension(m: int, least: int = 1) -> int:
    """Check m: at least what the rule needs."""
    if checks.count("m", m) < least:
        raise ValueError(f"expected m >= {least} for this rule, got {m}; use another rule of RULES")
    return m
