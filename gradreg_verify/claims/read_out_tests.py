"""Tests of probes that were read out of a function: known up to a sign or a rotation.

Every call gives one batch. The tests are of the law of each row, and of each pair of rows.
"""

from collections.abc import Iterator
from itertools import combinations
from math import factorial

import numpy as np
import scipy  # imports its statistics when they are used, which takes half a second

from gradreg_ref.typing import Array, Law, Rng
from gradreg_verify.claims.comparison import same
from gradreg_verify.claims.law_tests import (
    Test,
    all_pairs,
    chance_of_the_same,
    check,
    classes_are_uniform,
    coordinates,
    marginal_law,
    two_sided,
    zero_mean,
)


def several_read_out(r: Array, probe: Law, rng: Rng) -> Iterator[Test]:
    """Test q probes known up to a rotation: R Rᵀ, and a random unit combination R c.

    R c follows the law of one probe where that law is rotation invariant in R: for gaussian probes
    N(0, I), for orthogonal ones uniform on the sphere.
    """
    n, m, q = r.shape
    gram = np.einsum("nkq,nkp->nqp", r, r)
    total = np.einsum("nqq->n", gram)
    yield from _independent_columns(gram, probe, m)
    if probe != "gaussian":
        same(f"{probe}: Σ_j ‖r_j‖²", total, np.full(n, q * m))
    if probe in ("orthogonal", "frames"):
        same(f"{probe}: r_i·r_j", gram, np.broadcast_to(m * np.eye(q), gram.shape))
    R_Rt = np.einsum("nkq,nlq->nkl", r, r)
    if probe == "onehot":
        counts = np.rint(np.einsum("nkk->k", R_Rt) / m)
        yield f"onehot: classes not uniform, {counts}", float(scipy.stats.chisquare(counts).pvalue)
        return
    for k, l in combinations(range(m), 2):
        yield zero_mean(f"{probe}: coordinates {(k, l)} are correlated", R_Rt[:, k, l])
    if probe not in ("gaussian", "orthogonal", "frames"):
        return
    one: Law = "gaussian" if probe == "gaussian" else "sphere"
    c = rng.standard_normal((n, q))
    combined = np.einsum("nkq,nq->nk", r, c / np.sqrt((c * c).sum(axis=1, keepdims=True)))
    yield from marginal_law(combined, one)
    yield all_pairs(combined, probe)
    if probe != "frames":  # these depend on each other within a call
        yield _angles(combined[:-1], combined[1:], one, 1)


def several_in_a_batch(r: Array, probe: Law, batch: int) -> Iterator[Test]:
    """Test q probes in each row of a batch, and whether two rows have the same ones."""
    n, m, q = r.shape
    if probe == "gaussian":
        calls = n // batch
        norms = (r * r).sum(axis=(1, 2)).reshape(calls, batch).sum(axis=0)
        tail = scipy.stats.chi2.cdf(norms, calls * q * m)
        yield f"{probe}, each row of a batch: the variance", _least(2 * np.minimum(tail, 1 - tail))
    moments = np.einsum("nkq,nlq->nkl", r, r).reshape(n, m * m)
    chance = factorial(q) * chance_of_the_same(probe, m) ** q
    yield rows_alike(moments, probe, batch, chance)


def one_read_out(r: Array, probe: Law, batch: int, rng: Rng) -> Iterator[Test]:
    """Test single probes, with signs of the kit's own: coordinates, their products, and angles."""
    m = r.shape[1]
    if probe == "onehot":
        yield from classes_are_uniform(np.abs(r).argmax(axis=1), m)
        return
    r = r * rng.choice([-1.0, 1.0], (len(r), 1, 1))
    yield from marginal_law(r[:, :, 0], probe)
    for size in (2, 4):
        yield from coordinates(r[:, :, 0], probe, size)
    yield all_pairs(r[:, :, 0], probe)
    for lag in (batch,) if probe == "frames" else (1, 2, batch // 2, batch):
        if lag < len(r):
            yield _angles(r[:-lag, :, 0], r[lag:, :, 0], probe, lag)


def no_call_again(r: Array, probe: Law, batch: int) -> None:
    """Require that no two calls, each of a seed of its own, draw the same probes."""
    n, m, q = r.shape
    calls = np.einsum("nkq,nlq->nkl", r, r).reshape(n // batch, -1)
    chance = (factorial(q) * chance_of_the_same(probe, m) ** q) ** batch * len(calls) ** 2
    again = len(calls) - len(np.unique(calls, axis=0))
    check(
        again == 0 or chance > _NEVER,
        f"{probe}: {again} of {len(calls)} calls, each with another seed, repeat the probes of "
        "another call",
    )


_NEVER = 1e-9  # a repetition of a smaller chance is a fault, and needs no test


def of_full_rank(r: Array, probe: Law, batch: int) -> None:
    """Probes of a batch are linearly independent, as fewer than m of a continuous law are."""
    smallest = np.linalg.svd(r.reshape(-1, batch, r.shape[1]), compute_uv=False)[:, -1]
    what = f"{probe}: in a batch of {batch} one probe follows from the others"
    check(bool((smallest > 1e-6).all()), what)  # at m = 10 the chance is below 1e-30


def _independent_columns(gram: Array, probe: Law, m: int) -> Iterator[Test]:
    """Probes of an example are no multiples of each other, but by chance where they are few.

    Their Gram matrix G, known up to a rotation, has ‖G‖²_F as of independent probes. Of gaussian
    ones ‖G‖²_F / (tr G)² is tested, which is bounded, and independent of tr G.
    """
    n, q, _ = gram.shape
    what = f"{probe}: one probe is used {q} times"
    if probe not in ("rademacher", "onehot"):
        check(bool((np.linalg.eigvalsh(gram)[:, 0] > 1e-9).all()), what)
        what = f"{probe}: the {q} probes of an example are not independent"
    elif q == 2:  # the same up to sign, or the same class
        chance = chance_of_the_same(probe, m)
        alike = int((np.linalg.eigvalsh(gram)[:, 0] < 1e-9).sum())
        yield f"{what}, in {alike} of {n} examples", scipy.stats.binomtest(alike, n, chance).pvalue
        return
    overlap = (gram**2).sum(axis=(1, 2))  # E (r_i·r_j)² = m for i ≠ j
    if probe == "gaussian":
        share = overlap / np.einsum("nqq->n", gram) ** 2
        yield zero_mean(what, share - (m + q + 1) / (q * m + 2))
    elif probe not in ("orthogonal", "frames"):
        yield zero_mean(what, overlap - q * m * m - q * (q - 1) * m)


def each_row(r: Array, probe: Law, batch: int, where: str) -> Iterator[Test]:
    """The law in every place of a batch, over the calls: each test is the least of all places."""
    calls, m = len(r) // batch, r.shape[1]
    R = r.reshape(calls, batch, m)
    name = f"{probe}, each row {where}"
    norms = (R * R).sum(axis=2)
    # Equal probes are read out as equal numbers. Probes of two coordinates are often parallel.
    alike = (np.abs(R[1:] - R[:-1]).max(axis=2) <= 1e-12).sum(axis=0)
    chance = chance_of_the_same(probe, m)
    p = scipy.stats.binom.sf(alike - 1, calls - 1, chance)
    yield f"{name}: {alike.max()} of {calls - 1} are the same as the one before", _least(p)
    if probe == "rademacher":
        agreeing = [(R[:, :, i] * R[:, :, j] > 0).sum(axis=0) for i, j in combinations(range(m), 2)]
        yield f"{name}: signs are correlated", _least(two_sided(np.array(agreeing), calls, 0.5))
    elif probe == "onehot":
        counts = (np.abs(R) > 0.5).sum(axis=0)
        yield f"{name}: classes not uniform", _least(two_sided(counts, calls, 1 / m))
    else:
        law = scipy.stats.beta(0.5, (m - 1) / 2, scale=m)
        if probe == "gaussian":
            law = scipy.stats.chi2(1)
            tail = scipy.stats.chi2.cdf(norms.sum(axis=0), calls * m)
            yield f"{name}: the variance", _least(2 * np.minimum(tail, 1 - tail))
        some = sorted({0, batch // 2, batch - 1})
        p = [scipy.stats.kstest(R[:, b, k] ** 2, law.cdf).pvalue for b in some for k in range(m)]
        yield f"{name}: a coordinate does not follow the law", _least(np.array(p))


def each_pair(r: Array, probe: Law, batch: int) -> Test:
    """Every two places of a batch, over the calls: probes there are not alike more than by chance.

    Of continuous laws cos² is Beta(½, (m−1)/2), and Fisher's −2 Σ log p is χ² of two degrees each.
    """
    cos2, m = np.minimum(_of_pairs(r, batch), 1), r.shape[1]
    calls = len(cos2)
    if probe in ("rademacher", "onehot"):
        alike = (cos2 > 1 - 1e-9).sum(axis=0)
        p = scipy.stats.binom.sf(alike - 1, calls, chance_of_the_same(probe, m))
    else:
        # The survival function of that law, without its checks: there are 10⁵ numbers.
        beyond = np.maximum(scipy.special.betainc((m - 1) / 2, 0.5, 1 - cos2), 1e-300)
        p = scipy.stats.chi2.sf(-2 * np.log(beyond).sum(axis=0), 2 * calls)
    return f"{probe}: two rows of a batch of {batch} are not independent", _least(p)


def rows_alike(r: Array, probe: Law, batch: int, chance: float | None = None) -> Test:
    """Two places of a batch, over the calls, or all places k apart: alike no more than by chance.

    This test is weaker than `each_pair` and costs less: batches of 308 have many pairs.
    """
    alike = (_of_pairs(r, batch) > 1 - 1e-6).sum(axis=0)
    calls = len(r) // batch
    by_chance = chance_of_the_same(probe, r.shape[1]) if chance is None else chance
    by_chance = max(by_chance, _NEARLY)
    of_a_pair = scipy.stats.binom.sf(alike.max() - 1, calls, by_chance) * len(alike)
    # Pairs k apart are a path: whether they are alike is independent from pair to pair.
    first, second = np.triu_indices(batch, 1)
    k = np.arange(1, batch)
    apart = np.bincount(second - first, weights=alike)[1:]
    p = scipy.stats.binom.sf(apart - 1, calls * (batch - k), by_chance)
    what = f"{probe}: two rows of a batch of {batch} have the same probes"
    return what, min(1.0, 2 * of_a_pair, 2 * _least(p))


_NEARLY = 1e-3  # bounds the chance that two probes of a continuous law agree to 1e-6


def _of_pairs(r: Array, batch: int) -> Array:
    """cos² of the angle between every two rows of a batch, (calls, pairs)."""
    R = r.reshape(len(r) // batch, batch, -1)
    R = R / np.sqrt((R * R).sum(axis=2, keepdims=True))
    i, j = np.triu_indices(batch, 1)
    return np.einsum("tbk,tck->tbc", R, R)[:, i, j] ** 2


def in_a_batch(r: Array, probe: Law, batch: int) -> Test:
    """Test ‖Σ_b u_b u_bᵀ − B I/m‖²_F, u = r/‖r‖, which holds the angles of all pairs of a batch.

    Its mean and variance are exact, as cos² of two pairs are uncorrelated even where the pairs
    share an example. The gamma law with that mean and variance is the limit for large batches.
    """
    calls, m = len(r) // batch, r.shape[1]
    u = (r / np.sqrt((r * r).sum(axis=1, keepdims=True))).reshape(calls, batch, m)
    total = float((np.einsum("tbk,tbl->tkl", u, u) ** 2).sum()) - calls * batch**2 / m
    of_one = {"rademacher": 2 * (m - 1) / m**3, "onehot": (m - 1) / m**2}  # Var cos²
    variance = of_one.get(probe, 2 * (m - 1) / (m * m * (m + 2)))
    mean, variance = calls * batch * (1 - 1 / m), 2 * calls * batch * (batch - 1) * variance
    law = scipy.stats.gamma(mean**2 / variance, scale=variance / mean)
    p = 2 * min(law.cdf(total), law.sf(total))
    return f"{probe}: examples of a batch are not independent", float(min(1.0, p))


def _angles(a: Array, b: Array, probe: Law, lag: int) -> Test:
    """cos² between probes that should be independent: Beta(½, (m−1)/2), or of a count of signs."""
    m = a.shape[1]
    dot = np.einsum("nk,nk->n", a, b)
    what = f"{probe}: examples {lag} apart are not independent"
    if probe == "rademacher":
        agreeing = np.rint((m + dot) / 2).astype(int)
        signless = np.minimum(agreeing, m - agreeing)
        k = np.arange(m // 2 + 1)
        law = scipy.stats.binom(m, 0.5)
        expected = law.pmf(k) + np.where(k == m - k, 0, law.pmf(m - k))
        counts = np.bincount(signless, minlength=len(k))
        return what, float(scipy.stats.chisquare(counts, expected * len(dot)).pvalue)
    cos2 = dot**2 / ((a * a).sum(axis=1) * (b * b).sum(axis=1))
    beta = scipy.stats.beta(0.5, (m - 1) / 2)
    return what, float(scipy.stats.kstest(np.minimum(cos2, 1), beta.cdf).pvalue)


def _least(p: Array) -> float:
    """The least of several p-values, as one."""
    return float(min(1.0, p.size * p.min()))
