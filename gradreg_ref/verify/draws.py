"""S9: the probes drawn are those used, of the law named, and independent.

The only claim that samples: everything else about an estimate is exact (`estimators`). Every test
gives a p-value; the claim fails where one of N is below α/N. A function that draws its own probes
shows them up to their sign, so what is tested of it does not depend on signs.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import combinations

import numpy as np
from scipy import stats

from gradreg_ref.typing import Array, Law
from gradreg_ref.verify.comparison import (
    FLOOR,
    Target,
    direction_for,
    expected_slope,
    expected_value,
    same,
)
from gradreg_ref.verify.examples import Example
from gradreg_ref.verify.outcomes import Broken, NotTestable, largest

# One in a million false alarms in all: fixed seeds make the outcome the same in every run.
ALPHA = 1e-6
BATCH = 50  # examples in one call of a function whose probes are read out


def replay(target: Target, e: Example) -> float:
    """A seed gives value and gradient at the probes it draws: per example, shared, several."""
    m = e.probes.shape[1]
    if m == 1:
        raise NotTestable("one logit")
    errors = [
        at_drawn_probes(target, penalty, e, probe, q, shared)
        for probe in target.laws()
        for penalty, q, shared in forms(target, m)
    ]
    return largest(errors)


def forms(target: Target, m: int) -> Iterator[tuple[str, int, bool]]:
    """Penalty, number of probes, and whether the batch shares them."""
    if target.declared is not None:
        d = target.declared.declaration
        if d.side == "output" and d.num_probes < m:
            yield d.kind, d.num_probes, d.shared_probe
        return
    for penalty in ("spectreg", "jacreg"):
        for q, shared in ((1, False), (1, True), (m - 1, False)):
            yield penalty, q, shared


def at_drawn_probes(
    target: Target, penalty: str, e: Example, probe: Law, q: int, shared: bool
) -> float:
    """What is drawn from a seed, in the target, against the same probes given to the reference."""
    n, m, _ = e.probes.shape
    batch = n if target.declared is not None or not shared else 1
    r = target.backend.draw(probe, batch, m, q, seed=3, device=target.device)
    given = {"probes": r, "shared_probe": shared}
    drawn = {"probe": probe, "num_probes": q, "seed": 3, "shared_probe": shared}
    what = f"{penalty} of a seed, {probe}"
    expected = expected_value(penalty, e, **given)
    error = same(what, target.value(penalty, e, **drawn), expected, exact=False)
    if probe != target.laws()[0]:  # one law shows whether drawn probes keep the graph
        return error
    direction = direction_for(e)
    slope = target.gradient(penalty, e, **drawn) @ direction
    expected, scale = expected_slope(penalty, e, direction, **given), np.abs(direction).sum()
    return max(
        error, same(f"gradient of {what}", slope, expected, exact=False, scale=FLOOR * scale)
    )


def law(target: Target, e: Example) -> float:
    """Structure exactly, marginal law and independence by test; the smallest p-value × N."""
    tests = list(p_values(target, e))
    if not tests:
        raise NotTestable("it shows no probes")
    what, p = min(tests, key=lambda test: test[1])
    if p * len(tests) <= ALPHA:
        raise Broken(f"{what} (p = {p:.1e}, the least of {len(tests)} tests)")
    return 0.0


@dataclass(frozen=True)
class Evidence:
    """What the tests of a verification came to.

    Parameters
    ----------
    tests : int
        N, over all laws and lengths of a probe.
    least : float
        min(1, N · the least p-value): below α for a right sampler with chance α.
    draws : int
        Probes of each law and length.
    """

    tests: int
    least: float
    draws: int

    def __str__(self) -> str:
        return (
            f"{self.tests} tests of {self.draws} draws, N·p >= {self.least:.2g}; "
            f"finds a scale off by {self.visible_scale:.1%}"
        )

    @property
    def visible_scale(self) -> float:
        """The error in scale found 999 times in 1000, from the variance of m = 3 coordinates."""
        deviation = np.sqrt(2 / (3 * self.draws))  # of the mean square of gaussian entries
        level = stats.norm.isf(ALPHA / (2 * self.tests)) + stats.norm.isf(1e-3)
        return float(level * deviation / 2)


def evidence(target: Target, examples: Iterable[Example]) -> Evidence | None:
    """All tests of a target on the lengths of probes that the examples have."""
    found: list[tuple[str, float]] = []
    for e in {e.probes.shape[1]: e for e in examples}.values():  # one of each length
        with suppress(NotTestable):
            found += p_values(target, e)
    if not found:
        return None
    least = min(p for _, p in found)
    return Evidence(len(found), min(1.0, len(found) * least), target.draws)


def p_values(target: Target, e: Example) -> tuple[tuple[str, float], ...]:
    """Every test of every law the target draws."""
    m = e.probes.shape[1]
    one = target.declared
    if one is not None and (one.declaration.kind == "jacreg" or m <= one.declaration.num_probes):
        raise NotTestable("its probes cannot be read out in full")
    return tuple(test for probe in target.laws() for test in of_one_law(target, m, probe))


@cache
def of_one_law(target: Target, m: int, probe: Law) -> tuple[tuple[str, float], ...]:
    """The tests of `target.draws` probes of one law."""
    if target.declared is not None:
        return tuple(of_read_out(target, m, probe))
    n = target.draws
    r = target.backend.draw(probe, n, m, 2, seed=target.seed, device=target.device)
    check(r.shape == (n, m, 2), f"{probe}: expected probes (n, m, q), got {r.shape}")
    exact_structure(r, probe)
    if probe == "onehot":
        return tuple(classes_are_uniform(np.abs(r).argmax(axis=1), m))
    return (*marginal_law(r[:, :, 0], probe), *products_vanish(r, probe))


def of_read_out(target: Target, m: int, probe: Law) -> Iterator[tuple[str, float]]:
    """The tests of probes that are known up to their sign (and a rotation where q > 1)."""
    assert target.declared is not None
    d, rng = target.declared.declaration, np.random.default_rng(target.seed)
    calls = target.draws // BATCH
    r = np.concatenate(
        [
            target.backend.draw(
                probe, BATCH, m, d.num_probes, seed=1000 * target.seed + t, device=target.device
            )
            for t in range(calls)
        ]
    )
    if d.num_probes > 1:
        yield from several_read_out(r, probe)
        return
    exact_structure(r, probe)
    if probe == "onehot":
        yield from classes_are_uniform(np.abs(r).argmax(axis=1), m)
        return
    r = r * rng.choice([-1.0, 1.0], (len(r), 1, 1))
    yield from marginal_law(r[:, :, 0], probe)
    for size in (2, 4):
        yield from coordinates(r[:, :, 0], probe, size)
    yield all_pairs(r[:, :, 0], probe)
    for lag in (1, 2, BATCH // 2, BATCH):
        if lag < len(r):
            yield angles(r[:-lag, :, 0], r[lag:, :, 0], probe, lag)


def several_read_out(r: Array, probe: Law) -> Iterator[tuple[str, float]]:
    """Of q probes together: their squares, and for gaussian ones everything."""
    n, m, q = r.shape
    total = (r * r).sum(axis=(1, 2))
    if probe != "gaussian":
        same(f"{probe}: Σ_j ‖r_j‖²", total, np.full(n, q * m), exact=False)
    else:
        yield "gaussian: Σ r² does not follow chi²", stats.kstest(total, "chi2", (m * q,)).pvalue
    gram = np.linalg.eigvalsh(np.einsum("nkq,nkp->nqp", r, r))
    check(bool((gram[:, 0] > 1e-9).all()), f"one probe is used {q} times")
    if probe == "orthogonal":
        same("orthogonal: r_i·r_j", gram, np.full((n, q), m), exact=False)
    halves = total[: n // 2] - total[n // 2 :]
    if probe == "gaussian":
        yield "gaussian: halves of the draws differ", stats.wilcoxon(halves).pvalue


def exact_structure(r: Array, probe: Law) -> None:
    """What holds of every probe: its norm, its entries, its orthogonality."""
    n, m, q = r.shape
    if probe == "gaussian":
        return
    same(f"{probe}: ‖r‖²", (r * r).sum(axis=1), np.full((n, q), m), exact=False)
    if probe == "rademacher":
        same("rademacher: |r_k|", np.abs(r), np.ones(r.shape), exact=False)
    if probe == "onehot":
        largest = np.sort(np.abs(r), axis=1)[:, :-1]
        check(bool((largest < 1e-6).all()), "onehot: expected one non-zero entry a probe")
    if probe == "orthogonal" and q > 1:
        inner = np.einsum("nk,nk->n", r[:, :, 0], r[:, :, 1])
        same("orthogonal: r₁·r₂", 1 + inner / m, np.ones(n), exact=False)


def marginal_law(r: Array, probe: Law) -> Iterator[tuple[str, float]]:
    """Kolmogorov–Smirnov or binomial test of every coordinate r[:, k], and the scale."""
    n, m = r.shape
    if probe == "gaussian":
        tail = stats.chi2.cdf((r * r).sum(), r.size)
        yield f"gaussian: variance {(r * r).mean():.3f}", 2 * min(tail, 1 - tail)
    for k in range(m):
        what = f"{probe}: coordinate {k} does not follow the law"
        if probe == "gaussian":
            yield what, stats.kstest(r[:, k], "norm").pvalue
        elif probe == "rademacher":
            yield what, stats.binomtest(int((r[:, k] > 0).sum()), n).pvalue
        else:
            beta = stats.beta(0.5, (m - 1) / 2)
            yield what, stats.kstest(np.minimum(r[:, k] ** 2 / m, 1), beta.cdf).pvalue


def products_vanish(r: Array, probe: Law) -> Iterator[tuple[str, float]]:
    """Products whose mean is zero where draws are independent and coordinates symmetric."""
    one = r[:, :, 0]
    for lag in (1, 2, len(r) // 2):
        name = f"{probe}: examples {lag} apart are correlated"
        yield zero_mean(name, (one[:-lag] * one[lag:]).sum(axis=1))
    for size in (2, 3, 4):
        yield from coordinates(one, probe, size)
    yield all_pairs(one, probe)
    if probe != "orthogonal":
        products = (r[:, :, 0] * r[:, :, 1]).sum(axis=1)
        yield zero_mean(f"{probe}: the probes of an example are correlated", products)


def coordinates(r: Array, probe: Law, size: int) -> Iterator[tuple[str, float]]:
    """Products of so many coordinates have mean zero."""
    for some in combinations(range(r.shape[1]), size):
        name = f"{probe}: coordinates {some} are correlated"
        yield zero_mean(name, r[:, some].prod(axis=1))


def all_pairs(r: Array, probe: Law) -> tuple[str, float]:
    """Σ_{i<j} r_i r_j, which sees a small mean in all coordinates where no single pair does."""
    pairs = (r.sum(axis=1) ** 2 - (r * r).sum(axis=1)) / 2
    return zero_mean(f"{probe}: coordinates have a mean, or are correlated", pairs)


def zero_mean(what: str, products: Array) -> tuple[str, float]:
    """The normal test of a mean."""
    z = abs(products.sum()) / np.sqrt((products**2).sum())
    return what, float(2 * stats.norm.sf(z))


def angles(a: Array, b: Array, probe: Law, lag: int) -> tuple[str, float]:
    """cos² between probes that should be independent: Beta(½, (m−1)/2), or of a count of signs."""
    m = a.shape[1]
    dot = np.einsum("nk,nk->n", a, b)
    what = f"{probe}: examples {lag} apart are not independent"
    if probe == "rademacher":
        agreeing = np.rint((m + dot) / 2).astype(int)
        signless = np.minimum(agreeing, m - agreeing)
        k = np.arange(m // 2 + 1)
        law = stats.binom(m, 0.5)
        expected = law.pmf(k) + np.where(k == m - k, 0, law.pmf(m - k))
        counts = np.bincount(signless, minlength=len(k))
        return what, float(stats.chisquare(counts, expected * len(dot)).pvalue)
    cos2 = dot**2 / ((a * a).sum(axis=1) * (b * b).sum(axis=1))
    beta = stats.beta(0.5, (m - 1) / 2)
    return what, float(stats.kstest(np.minimum(cos2, 1), beta.cdf).pvalue)


def classes_are_uniform(c: Array, m: int) -> Iterator[tuple[str, float]]:
    """Chi-square of the classes drawn, and of repeats between examples and between probes."""
    counts = np.bincount(c[:, 0], minlength=m)
    yield f"onehot: classes not uniform, {counts}", stats.chisquare(counts).pvalue
    pairs = {
        "examples": (c[1:, 0], c[:-1, 0]),
        "examples two apart": (c[2:, 0], c[:-2, 0]),
        "the halves of a batch": (c[: len(c) // 2, 0], c[len(c) // 2 :, 0]),
    }
    if c.shape[1] > 1:
        pairs["the probes of an example"] = (c[:, 0], c[:, 1])
    for what, (a, b) in pairs.items():
        repeats = int((a == b).sum())
        p = stats.binomtest(repeats, len(a), 1 / m).pvalue
        yield f"onehot: {what} are not independent ({repeats / len(a):.2f} repeats)", p


def check(holds: bool, message: str) -> None:
    """Broken, unless it holds."""
    if not holds:
        raise Broken(message)
