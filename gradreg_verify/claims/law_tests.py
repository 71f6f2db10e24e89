"""Tests of probes: their structure exactly, their law and independence by p-values."""

from collections.abc import Iterator
from itertools import combinations
from typing import Any

import numpy as np
import scipy  # imports its statistics when they are used, which takes half a second

from gradreg_ref.typing import Array, Law
from gradreg_verify.claims.comparison import same
from gradreg_verify.outcomes import Broken

Test = tuple[str, float]


def chance_of_the_same(probe: Law, m: int) -> float:
    """Bound the probability that two independent probes are alike up to their sign."""
    return {"rademacher": 2.0 ** (1 - m), "onehot": 1 / m}.get(probe, 0.0)


def exact_structure(r: Array, probe: Law, batch: int) -> None:
    """What holds of every probe: its norm, its entries, its orthogonality in a batch."""
    n, m, q = r.shape
    check(bool(np.isfinite(r).all()), f"{probe}: expected finite probes")
    zeros = int((r == 0).all(axis=1).sum())
    check(zeros == 0, f"{probe}: {zeros} of {n * q} probes are zero")  # chance 0 under every law
    if probe == "gaussian":
        _no_grid(r)
        return
    same(f"{probe}: ‖r‖²", (r * r).sum(axis=1), np.full((n, q), m))
    if probe == "rademacher":
        same("rademacher: |r_k|", np.abs(r), np.ones(r.shape))
    if probe == "onehot":
        largest = np.sort(np.abs(r), axis=1)[:, :-1]
        check(bool((largest < 1e-6).all()), "onehot: expected one non-zero entry a probe")
    if probe == "frames" and m // q > 1:
        _orthogonal_neighbours(r, batch)
    if probe in ("orthogonal", "frames") and q > 1:
        inner = np.einsum("nk,nk->n", r[:, :, 0], r[:, :, 1])
        same(f"{probe}: r₁·r₂", 1 + inner / m, np.ones(n))


def _no_grid(r: Array) -> None:
    """Require that few numbers of one coordinate occur in another, as many rounded numbers would,
    and the bounds of clamped ones. Of 4000 numbers in float32 about one does.
    """
    if r.shape[1] > 1:
        first, second = np.abs(r[:, :2, 0]).round(9).T
        seen = np.isin(first, second)
        what = "clamped" if len(set(first[seen])) == 1 else "rounded"
        again = f"{seen.mean():.0%} of them come again"
        check(bool(seen.mean() <= 0.01), f"gaussian: {what} numbers, {again}")


def _orthogonal_neighbours(r: Array, batch: int) -> None:
    """Neighbours in a group of m // q examples of a batch have orthogonal probes."""
    _, m, q = r.shape
    position = np.arange(len(r) - 1) % batch
    together = ((position + 1) % (m // q) != 0) & (position + 1 < batch)
    inner = np.einsum("nkq,nkp->nqp", r[:-1], r[1:])[together]
    if inner.size:  # a batch of one has no neighbours
        same("frames: probes of neighbours", 1 + inner / m, np.ones(inner.shape))


def marginal_law(r: Array, probe: Law) -> Iterator[Test]:
    """Kolmogorov–Smirnov or binomial test of every coordinate r[:, k], and the scale."""
    n, m = r.shape
    if probe == "gaussian":
        tail = scipy.stats.chi2.cdf((r * r).sum(), r.size)
        yield f"gaussian: variance {(r * r).mean():.3f}", 2 * min(tail, 1 - tail)
    for k in range(m):
        what = f"{probe}: coordinate {k} does not follow the law"
        if probe == "gaussian":
            yield what, scipy.stats.kstest(r[:, k], "norm").pvalue
        elif probe == "rademacher":
            yield what, scipy.stats.binomtest(int((r[:, k] > 0).sum()), n).pvalue
        else:
            beta = scipy.stats.beta(0.5, (m - 1) / 2)
            yield what, scipy.stats.kstest(np.minimum(r[:, k] ** 2 / m, 1), beta.cdf).pvalue


def products_vanish(r: Array, probe: Law) -> Iterator[Test]:
    """Products whose mean is zero where draws are independent and coordinates symmetric."""
    one = r[:, :, 0]
    for lag in (1, 2, len(r) // 2):
        name = f"{probe}: examples {lag} apart are correlated"
        yield zero_mean(name, (one[:-lag] * one[lag:]).sum(axis=1))
    for size in (2, 3, 4):
        yield from coordinates(one, probe, size)
    yield all_pairs(one, probe)
    if probe not in ("orthogonal", "frames"):
        products = (r[:, :, 0] * r[:, :, 1]).sum(axis=1)
        yield zero_mean(f"{probe}: the probes of an example are correlated", products)


def coordinates(r: Array, probe: Law, size: int) -> Iterator[Test]:
    """Products of so many coordinates have mean zero."""
    for some in combinations(range(r.shape[1]), size):
        name = f"{probe}: coordinates {some} are correlated"
        yield zero_mean(name, r[:, some].prod(axis=1))


def all_pairs(r: Array, probe: Law) -> Test:
    """Σ_{i<j} r_i r_j, which sees a small mean in all coordinates where no single pair does."""
    pairs = (r.sum(axis=1) ** 2 - (r * r).sum(axis=1)) / 2
    return zero_mean(f"{probe}: coordinates have a mean, or are correlated", pairs)


def zero_mean(what: str, products: Array) -> Test:
    """The normal test of a mean. Products that are all zero fail: no law tested here has them."""
    if not products.any():
        return f"{what}: all products are zero", 0.0
    z = abs(products.sum()) / np.sqrt((products**2).sum())
    return what, float(scipy.special.erfc(z / np.sqrt(2)))  # 2 P(N(0, 1) > z)


def two_sided(k: Any, n: int, chance: float) -> Any:
    """The binomial test of counts."""
    law = scipy.stats.binom(n, chance)
    return np.minimum(1.0, 2 * np.minimum(law.cdf(k), law.sf(np.asarray(k) - 1)))


def classes_are_uniform(c: Array, m: int) -> Iterator[Test]:
    """Chi-square of the classes drawn, and of repeats between examples and between probes."""
    counts = np.bincount(c[:, 0], minlength=m)
    yield f"onehot: classes not uniform, {counts}", scipy.stats.chisquare(counts).pvalue
    pairs = {
        "examples": (c[1:, 0], c[:-1, 0]),
        "examples two apart": (c[2:, 0], c[:-2, 0]),
        "the halves of a batch": (c[: len(c) // 2, 0], c[len(c) // 2 :, 0]),
    }
    if c.shape[1] > 1:
        pairs["the probes of an example"] = (c[:, 0], c[:, 1])
    for what, (a, b) in pairs.items():
        repeats = int((a == b).sum())
        p = scipy.stats.binomtest(repeats, len(a), 1 / m).pvalue
        yield f"onehot: {what} are not independent ({repeats / len(a):.2f} repeats)", p


def check(holds: bool, message: str) -> None:
    """Raise Broken unless a condition holds."""
    if not holds:
        raise Broken(message)
