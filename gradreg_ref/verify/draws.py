"""S9: the probes drawn are those used, of the law named, and independent.

The only claim that samples: everything else about an estimate is exact (`estimators`).
"""

from collections.abc import Iterator
from functools import cache
from itertools import combinations
from typing import Any, get_args

import numpy as np
from scipy import stats

from gradreg_ref.typing import Law
from gradreg_ref.verify.comparison import (
    FLOOR,
    Broken,
    Target,
    direction_for,
    expected_slope,
    expected_value,
    same,
)
from gradreg_ref.verify.examples import Example


def law(target: Target, e: Example) -> float:
    """The probes drawn are those used, fresh for every example, and of the law named."""
    m = e.probes.shape[1]
    if m == 1:
        return 0.0
    return max(
        max(replay(target, e, probe), distribution(target, m, probe)) for probe in get_args(Law)
    )


def replay(target: Target, e: Example, probe: Law) -> float:
    """A seed gives value and gradient at the probes it draws: per example, shared, several."""
    n, m, _ = e.probes.shape
    errors = []
    for q, shared in ((1, False), (1, True), (m - 1, False)):
        batch = 1 if shared else n
        r = target.backend.draw(probe, batch, m, q, seed=3, device=target.device)
        given = {"probes": r, "shared_probe": shared}
        drawn = {"probe": probe, "num_probes": q, "seed": 3, "shared_probe": shared}
        errors += [at_drawn_probes(target, p, e, given, drawn) for p in ("spectreg", "jacreg")]
    return max(errors)


def at_drawn_probes(
    target: Target, penalty: str, e: Example, given: dict[str, Any], drawn: dict[str, Any]
) -> float:
    """What is drawn from a seed, in the target, against the same probes given to the reference."""
    what = f"{penalty} of a seed, {drawn['probe']}"
    expected = expected_value(penalty, e, **given)
    error = same(what, target.value(penalty, e, **drawn), expected, exact=False)
    if drawn["probe"] != "gaussian":  # one law shows whether drawn probes keep the graph
        return error
    direction = direction_for(e)
    slope = target.gradient(penalty, e, **drawn) @ direction
    expected, scale = expected_slope(penalty, e, direction, **given), np.abs(direction).sum()
    return max(
        error, same(f"gradient of {what}", slope, expected, exact=False, scale=FLOOR * scale)
    )


# One in a billion false alarms a test: fixed seeds make the outcome the same in every run.
ALPHA = 1e-9
DRAWS = 4000


@cache
def distribution(target: Target, m: int, probe: Law) -> float:
    """Structure exactly; marginal law and independence at level `ALPHA`."""
    r = target.backend.draw(probe, DRAWS, m, 2, seed=4, device=target.device)
    check(r.shape == (DRAWS, m, 2), f"{probe}: expected probes (n, m, q), got {r.shape}")
    squares = (r * r).sum(axis=1)
    if probe != "gaussian":
        same(f"{probe}: ‖r‖² of every probe", squares, np.full((DRAWS, 2), m), exact=False)
    if probe == "orthogonal":
        inner = np.einsum("nk,nk->n", r[:, :, 0], r[:, :, 1])
        same("orthogonal: r₁·r₂", 1 + inner / m, np.ones(DRAWS), exact=False)
    if probe == "onehot":
        classes_are_uniform(np.abs(r).argmax(axis=1), m)
        check((r != 0).sum() == 2 * DRAWS, "onehot: expected one non-zero entry a probe")
        return 0.0
    marginal_law(r, probe)
    for what, products in independent_products(r, probe):
        z = abs(products.sum()) / np.sqrt((products**2).sum())
        check(2 * stats.norm.sf(z) > ALPHA, f"{probe}: {what} are correlated ({z:.1f} deviations)")
    return 0.0


def marginal_law(r: Any, probe: Law) -> None:
    """Kolmogorov–Smirnov or binomial test of every coordinate, and the scale."""
    n, m, _ = r.shape
    if probe == "gaussian":
        tail = stats.chi2.cdf((r * r).sum(), r.size)
        check(2 * min(tail, 1 - tail) > ALPHA, f"gaussian: variance {(r * r).mean():.3f}")
    for k in range(m):
        one = r[:, k, 0]
        if probe == "gaussian":
            p = stats.kstest(one, "norm").pvalue
        elif probe == "rademacher":
            check(bool((np.abs(one) == 1).all()), "rademacher: expected ±1 only")
            p = stats.binomtest(int((one > 0).sum()), n).pvalue
        else:
            p = stats.kstest(one**2 / m, "beta", args=(0.5, (m - 1) / 2)).pvalue
        check(p > ALPHA, f"{probe}: coordinate {k} does not follow the law (p = {p:.1e})")


def independent_products(r: Any, probe: Law) -> Iterator[tuple[str, Any]]:
    """Products whose mean is zero where draws are independent and coordinates symmetric."""
    n, m, _ = r.shape
    one = r[:, :, 0]
    for lag in (1, 2, n // 2):
        yield f"examples {lag} apart", (one[:-lag] * one[lag:]).sum(axis=1)
    for size in (2, 3, 4):
        for some in combinations(range(m), size):
            yield f"coordinates {some}", one[:, some].prod(axis=1)
    if probe != "orthogonal":
        yield "the probes of an example", (r[:, :, 0] * r[:, :, 1]).sum(axis=1)


def classes_are_uniform(c: Any, m: int) -> None:
    """Chi-square of the classes drawn, and of repeats between examples and between probes."""
    counts = np.bincount(c[:, 0], minlength=m)
    check(stats.chisquare(counts).pvalue > ALPHA, f"onehot: classes not uniform, {counts}")
    for what, repeats in (
        ("examples", c[1:, 0] == c[:-1, 0]),
        ("examples two apart", c[2:, 0] == c[:-2, 0]),
        ("the halves of a batch", c[: len(c) // 2, 0] == c[len(c) // 2 :, 0]),
        ("the probes of an example", c[:, 0] == c[:, 1]),
    ):
        p = stats.binomtest(int(repeats.sum()), len(repeats), 1 / m).pvalue
        check(p > ALPHA, f"onehot: {what} are not independent ({repeats.mean():.2f} repeats)")


def check(holds: bool, message: str) -> None:
    """Broken, unless it holds."""
    if not holds:
        raise Broken(message)
