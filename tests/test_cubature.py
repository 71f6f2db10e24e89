"""Every rule of cubature against every monomial up to its degree, with the moments of its law."""

from dataclasses import replace
from functools import cache
from itertools import combinations_with_replacement
from math import inf, prod

import numpy as np
import pytest
from several_probes import orthogonal_frames, product

from gradreg_ref import cubature
from gradreg_ref.cubature import Rule, expectation, mean_and_variance

POINTS = {
    "gaussian_axes": lambda m: 2 * m,
    "stroud_5_2": lambda m: 2 * m * m + 1,
    "all_signs": lambda m: 2**m,
    "sphere_axes": lambda m: 2 * m,
    "sphere_degree_5": lambda m: 2 * m * m,
    "onehot_classes": lambda m: m,
}
DEGREES = {
    **dict.fromkeys(("gaussian_axes", "sphere_axes"), 3),
    **dict.fromkeys(("stroud_5_2", "sphere_degree_5"), 5),
    **dict.fromkeys(("all_signs", "onehot_classes"), inf),
}
RULES = {name: getattr(cubature, name) for name in DEGREES}
CASES = [(name, m) for name in RULES for m in range(1, 7)]
# The largest m at which every weight is >= 0; a weight is 0 there, and negative beyond.
LAST_POSITIVE = {"stroud_5_2": 4, "sphere_degree_5": 4}


@cache
def exponents(m: int, degree: int) -> np.ndarray:
    """Every exponent vector of total degree <= degree, (monomials, m)."""
    chosen = [c for d in range(degree + 1) for c in combinations_with_replacement(range(m), d)]
    return np.array([np.bincount(c, minlength=m) if c else np.zeros(m, int) for c in chosen])


def moment(law: str, a: np.ndarray) -> float:
    """E Π_i r_i^a_i, from the law's definition and not from any rule."""
    m, d, even = len(a), int(a.sum()), not (a % 2).any()
    normal = prod(prod(range(1, n, 2)) for n in a) if even else 0  # (a − 1)!!
    if law == "gaussian":
        return normal
    if law == "sphere":  # g = ‖g‖ u, independent, and E ‖g‖^d = m (m+2) … (m+d−2)
        return m ** (d / 2) * normal / prod(range(m, m + d, 2))
    if law == "rademacher":
        return float(even)
    assert law == "onehot"
    return 1.0 if d == 0 else float((a > 0).sum() == 1) * m ** (d / 2 - 1)


def assert_exact(rule: Rule, degree: int) -> None:
    for a in exponents(rule.points.shape[1], degree):
        monomial = (rule.points**a).prod(axis=1)
        # A sum of N terms, each with at most 7 + m roundings: under 800 u < 1e-12 of its size.
        size = np.abs(rule.weights * monomial).sum()
        assert abs(rule.weights @ monomial - moment(rule.law, a)) <= 1e-12 * size, a


@pytest.mark.parametrize(("name", "m"), CASES)
def test_rule_is_exact_for_every_monomial(name, m):
    rule = RULES[name](m)
    assert rule.degree == DEGREES[name]
    assert_exact(rule, int(min(rule.degree, 7)))


@pytest.mark.parametrize(("name", "m"), CASES)
def test_weights_and_points(name, m):
    rule = RULES[name](m)
    assert rule.points.shape == (POINTS[name](m), m)
    assert rule.weights.shape == rule.points.shape[:1]
    assert rule.weights.sum() == pytest.approx(1, abs=1e-14)
    assert (rule.weights.min() < 0) == (m > LAST_POSITIVE.get(name, 6))


@pytest.mark.parametrize("name", LAST_POSITIVE)
def test_sign_of_the_weights_changes_where_the_table_says(name):
    last = LAST_POSITIVE[name]
    at, beyond = RULES[name](last).weights, RULES[name](last + 1).weights
    assert at.min() == 0 > beyond.min()


# In low dimension a rule can be better than its name: two points, a regular octagon.
BETTER = {("sphere_axes", 1), ("sphere_degree_5", 1), ("sphere_degree_5", 2)}


@pytest.mark.parametrize(
    ("name", "m"), [case for case in CASES if DEGREES[case[0]] < inf and case not in BETTER]
)
def test_degree_is_not_understated(name, m):
    with pytest.raises(AssertionError):
        assert_exact(RULES[name](m), int(DEGREES[name]) + 1)


BUGS = {
    "a weight off by 1e-9": lambda r: replace(r, weights=r.weights * (1 + 1e-9)),
    "radius off by 1e-9": lambda r: replace(r, points=r.points * (1 + 1e-9)),
    "a point lost": lambda r: replace(r, points=r.points[:-1], weights=r.weights[:-1]),
    "a coordinate lost": lambda r: replace(r, points=r.points * (np.arange(4) > 0)),
    "two coordinates equal": lambda r: replace(r, points=r.points[:, [0, 0, 2, 3]]),
    "one sign only": lambda r: replace(r, points=np.abs(r.points)),
    "sphere of radius 1": lambda r: replace(r, points=r.points / 2),
}
NO_BUG = ("onehot_classes", "one sign only")  # it has no other


@pytest.mark.parametrize(("name", "bug"), [(n, b) for n in RULES for b in BUGS if (n, b) != NO_BUG])
def test_a_wrong_rule_is_noticed(name, bug):
    with pytest.raises(AssertionError):
        assert_exact(BUGS[bug](RULES[name](4)), 3)


@pytest.mark.parametrize("name", ["gaussian_axes", "all_signs", "sphere_axes", "onehot_classes"])
def test_rule_of_another_law_is_noticed(name):
    rule = RULES[name](3)
    for law in {"gaussian", "rademacher", "sphere", "onehot"} - {rule.law}:
        with pytest.raises(AssertionError):
            assert_exact(replace(rule, law=law), 4)


def test_product_is_independence():
    pair = product(RULES["stroud_5_2"](2), 2)
    assert_exact(pair, 5)  # two independent gaussians are a gaussian of twice the length
    assert_exact(product(RULES["all_signs"](2), 2), 7)
    with pytest.raises(AssertionError):
        assert_exact(product(RULES["sphere_degree_5"](2), 2), 4)  # but not so for spheres


def test_expectation_of_arrays_and_numbers():
    rule = RULES["all_signs"](3)
    assert np.array_equal(expectation(lambda r: np.outer(r, r), rule), np.eye(3))
    mean, variance = mean_and_variance(lambda r: np.array([r.sum(), r[0] * r[1]]), rule)
    assert mean.tolist() == [0, 0]
    assert variance.tolist() == [3, 1]
    assert mean_and_variance(lambda r: 5.0, rule) == (5, 0)


@pytest.mark.parametrize("name", RULES)
def test_every_rule_has_points(name):
    with pytest.raises(ValueError, match="expected m to be a whole number >= 1, got 0"):
        RULES[name](0)


FRAMES = [(2, 1, 5), (2, 2, 10), (3, 1, 60), (3, 2, 60), (3, 3, 120)]
# Rotations by 1 and √2 radians about two axes generate a dense subgroup of SO(3); with one
# reflection, of O(3). A mean that is invariant under a dense subgroup is Haar's.
C, S, C2, S2 = np.cos(1), np.sin(1), np.cos(np.sqrt(2)), np.sin(np.sqrt(2))
GENERATORS = {
    2: [np.array([[C, -S], [S, C]]), np.diag([1, -1])],
    3: [
        np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]]),
        np.array([[1, 0, 0], [0, C2, -S2], [0, S2, C2]]),
        np.diag([1, 1, -1]),
    ],
}


def assert_haar(frames: np.ndarray, degree: int) -> None:
    _, m, q = frames.shape
    identity = np.einsum("gkq,gkp->gqp", frames, frames) / m
    assert np.abs(identity - np.eye(q)).max() < 1e-14
    for d in range(1, degree + 1):
        for U in GENERATORS[m]:
            before, after = (powers(F, d) for F in (frames, np.einsum("kl,glq->gkq", U, frames)))
            # Up to 120 terms of size <= 3^(d/2) <= 16, entries of U^d F^d right to 50 u each.
            assert np.abs(before.mean(axis=0) - after.mean(axis=0)).max() < 1e-12, d


def powers(frames: np.ndarray, d: int) -> np.ndarray:
    """All products of d entries of each frame, (g, (m q)^d)."""
    flat = found = frames.reshape(len(frames), -1)
    for _ in range(d - 1):
        found = np.einsum("ga,gb->gab", found, flat).reshape(len(frames), -1)
    return found


@pytest.mark.parametrize(("m", "q", "g"), FRAMES)
def test_orthogonal_frames_are_haar_up_to_degree_4(m, q, g):
    frames = orthogonal_frames(m, q)
    assert frames.shape == (g, m, q)
    assert_haar(frames, 4)


@pytest.mark.parametrize("m", [2, 3])
def test_orthogonal_frames_have_the_moments_of_weingarten(m):
    Q = orthogonal_frames(m, m) / np.sqrt(m)
    a, b, c, d = Q[:, 0, 0], Q[:, 0, 1], Q[:, 1, 0], Q[:, 1, 1]
    found = [(x * x * y * z).mean() for x, y, z in ((a, a, a), (a, b, b), (a, d, d))]
    assert [*found, (a * b * c * d).mean()] == pytest.approx(
        [
            3 / (m * (m + 2)),
            1 / (m * (m + 2)),
            (m + 1) / (m * (m - 1) * (m + 2)),
            -1 / (m * (m - 1) * (m + 2)),
        ],
        rel=1e-12,
    )


WRONG_FRAMES = {
    "a frame lost": orthogonal_frames(3, 2)[:-1],
    "m = 2, rotations only": orthogonal_frames(2, 2)[:5],
    "m = 3, rotations only": orthogonal_frames(3, 3)[:60],
    "one column twice": orthogonal_frames(3, 2)[:, :, [0, 0]],
    "the tetrahedron's rotations": orthogonal_frames(3, 2)[::5],
    "not times √m": orthogonal_frames(3, 2) / np.sqrt(3),
}


@pytest.mark.parametrize("bug", WRONG_FRAMES)
def test_a_wrong_set_of_frames_is_noticed(bug):
    with pytest.raises(AssertionError):
        assert_haar(WRONG_FRAMES[bug], 4)
