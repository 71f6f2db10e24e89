"""Probes of many logits: a part of them may be zero, repeated, never drawn, or of another law."""

from collections.abc import Iterator

import numpy as np
import scipy

from gradreg_ref.typing import Array, Law
from gradreg_verify.claims.law_tests import Test, check, exact_structure, two_sided

LENGTH = 131  # more than blocks of 64 or 128, and none of them divides it
BATCH, CALLS = 16, 12


def tests(r: Array, probe: Law) -> Iterator[Test]:
    """Test q probes of each of n examples, (n, m, q), known up to their sign or a rotation."""
    n, m, q = r.shape
    sizes = (r * r).sum(axis=(0, 2)).round(9)
    name = f"{probe} of {m} logits"
    if probe == "onehot":
        yield from _classes(np.flatnonzero(sizes), m, n * q, name)
        return
    check(bool(sizes.all()), f"{name}: coordinate {sizes.argmin()} is always zero")
    if q > 1:
        return
    exact_structure(r, probe, BATCH)
    one, pairs = r[:, :, 0], np.triu_indices(m, 1)
    if probe == "rademacher":
        agreeing = (n + one.T @ one) / 2
        p = two_sided(agreeing[pairs], n, 0.5).min() * len(pairs[0])
        yield f"{name}: two signs are correlated", float(min(1.0, p))
        return
    again = m - len(np.unique(np.abs(one[0]).round(9)))
    # Of numbers in float32 two may be equal by chance.
    check(again <= 1, f"{name}: {again} coordinates of a probe repeat others")
    squares = (one * one).ravel()
    law = (
        scipy.stats.chi2(1) if probe == "gaussian" else scipy.stats.beta(0.5, (m - 1) / 2, scale=m)
    )
    yield f"{name}: another law", float(scipy.stats.kstest(squares, law.cdf).pvalue)


def _classes(seen: Array, m: int, draws: int, name: str) -> Iterator[Test]:
    """No class is left out more often than by chance, among them the first and the last ones."""
    # Classes that are not drawn are negatively dependent: a binomial law bounds their number.
    missed = scipy.stats.binom.sf(m - len(seen) - 1, m, (1 - 1 / m) ** draws)
    yield f"{name}: {len(seen)} classes in {draws} draws", float(missed)
    for what, possible in ("last", seen.max() + 1), ("first", m - seen.min()):
        yield f"{name}: the {what} classes are not drawn", float((possible / m) ** draws)
