"""S4–S9: the mean, the variance and the law of SpectReg's estimate.

The mean and variance are exact: an estimate is a quadratic form in its probe, so finite rules
(`gradreg_ref.cubature`) give its expectation without sampling. Only `law` samples.
"""

from functools import cache
from itertools import pairwise
from typing import Any, get_args

import numpy as np
from scipy import stats

from gradreg_ref import cubature
from gradreg_ref.cubature import Rule, expectation, mean_and_variance
from gradreg_ref.moments import batch_mean_variance, gram, mean, variance
from gradreg_ref.typing import Law
from gradreg_ref.verify.comparison import Broken, Target, same
from gradreg_ref.verify.examples import Example


def estimate(target: Target, e: Example) -> Any:
    """r ↦ the per-example estimates (n,) where every example has the probe r."""

    def f(r: Any) -> Any:
        probes = np.broadcast_to(np.asarray(r)[None, :, None], (len(e.x), len(r), 1))
        return target.value("spectreg", e, probes=probes, reduction="none")

    return f


def unbiased(target: Target, e: Example) -> float:
    """E f = ‖J‖²_F by the 2m points ±√m e_k, exact for gaussian and sphere; the same for ∇_θ."""
    m = e.probes.shape[1]
    rule = cubature.gaussian_axes(m)
    frobenius = target.value("frobreg", e, reduction="none")

    def gradient(r: Any) -> Any:
        probes = np.broadcast_to(np.asarray(r)[None, :, None], (len(e.x), m, 1))
        return target.gradient("spectreg", e, probes=probes, reduction="sum")

    return max(
        same("E spectreg", expectation(estimate(target, e), rule), frobenius, exact=False),
        same(
            "E ∇ spectreg",
            expectation(gradient, rule),
            target.gradient("frobreg", e, reduction="sum"),
            exact=False,
        ),
    )


def variance_is(target: Target, e: Example, rule: Rule, probe: Law) -> float:
    """Mean and variance of the estimate under a rule of degree 5 are the closed forms."""
    got_mean, got_variance = mean_and_variance(estimate(target, e), rule)
    A = gram(e.J)
    return max(
        same(f"E spectreg, {probe}", got_mean, mean(A), exact=False),
        same(
            f"Var spectreg, {probe}",
            got_variance,
            variance(A, probe),
            exact=False,
            scale=float((mean(A) ** 2).max()),
        ),
    )


def gaussian(target: Target, e: Example) -> float:
    """2‖A‖²_F, and of a batch mean (2/B²) Σ_b ‖A_b‖²_F, by a rule on R^(Bm)."""
    n, m, _ = e.probes.shape
    error = variance_is(target, e, cubature.stroud_5_2(m), "gaussian")
    if n * m > 8:  # 2(nm)² + 1 evaluations
        return error

    def batch_mean(r: Any) -> Any:
        return target.value("spectreg", e, probes=np.reshape(r, (n, m, 1)), reduction="mean")

    _, got = mean_and_variance(batch_mean, cubature.stroud_5_2(n * m))
    A = gram(e.J)
    expected = batch_mean_variance(A, "gaussian")
    scale = float(mean(A).mean() ** 2)
    return max(error, same("Var of the batch mean", got, expected, exact=False, scale=scale))


def rademacher(target: Target, e: Example) -> float:
    """2(‖A‖²_F − Σ_k A_kk²), by all 2^m signs."""
    m = e.probes.shape[1]
    return variance_is(target, e, cubature.all_signs(m), "rademacher") if m <= 6 else 0.0


def sphere(target: Target, e: Example) -> float:
    """2m/(m + 2) (‖A‖²_F − (tr A)²/m), by a design of 2m² points."""
    return variance_is(target, e, cubature.sphere_degree_5(e.probes.shape[1]), "sphere")


def num_probes(target: Target, e: Example) -> float:
    """The mean of q probes' estimates; m orthogonal ones give ‖J‖²_F."""
    n, m, q = e.probes.shape
    singles = [
        target.value("spectreg", e, probes=e.probes[:, :, j : j + 1], reduction="none")
        for j in range(q)
    ]
    together = target.value("spectreg", e, probes=e.probes, reduction="none")
    rng = np.random.default_rng(2)
    frame = np.sqrt(m) * np.linalg.qr(rng.standard_normal((n, m, m)))[0]
    return max(
        same("mean over probes", together, np.mean(singles, axis=0), exact=e.exact),
        same(
            "m orthogonal probes",
            target.value("spectreg", e, probes=frame, reduction="none"),
            target.value("frobreg", e, reduction="none"),
            exact=False,
        ),
    )


def law(target: Target, e: Example) -> float:
    """The probes drawn are those used, fresh for every example, and of the law named."""
    m = e.probes.shape[1]
    if m == 1:
        return 0.0
    return max(
        max(replay(target, e, probe), distribution(target, m, probe)) for probe in get_args(Law)
    )


def replay(target: Target, e: Example, probe: Law) -> float:
    """A seed gives the value at the probes it draws, per example, shared, or several."""
    n, m, _ = e.probes.shape
    errors = []
    for q, shared in ((1, False), (1, True), (m - 1, False)):
        drawn = target.backend.draw(probe, 1 if shared else n, m, q, seed=3, device=target.device)
        common = {"shared_probe": shared, "reduction": "none"}
        by_seed = target.value("spectreg", e, probe=probe, num_probes=q, seed=3, **common)
        by_probes = target.value("spectreg", e, probes=drawn, **common)
        errors.append(same(f"{probe} probes of a seed", by_seed, by_probes, exact=False))
    return max(errors)


# One in a billion false alarms a test: fixed seeds make the outcome the same in every run.
ALPHA = 1e-9
DRAWS = 4000


@cache
def distribution(target: Target, m: int, probe: Law) -> float:
    """Structure exactly; marginal law and independence of examples at level `ALPHA`."""
    r = target.backend.draw(probe, DRAWS, m, 1, seed=4, device=target.device)[:, :, 0]
    check(r.shape == (DRAWS, m), f"{probe}: expected probes (n, m, q), got {r.shape} for q = 1")
    squares = (r * r).sum(axis=1)
    if probe != "gaussian":
        same(f"{probe}: ‖r‖² of every probe", squares, np.full(DRAWS, m), exact=False)
    if probe == "rademacher":
        check(bool((np.abs(r) == 1).all()), "rademacher: expected ±1 only")
    if probe == "onehot":
        counts = (r != 0).sum(axis=0)
        check((r != 0).sum() == DRAWS, "onehot: expected one non-zero entry a probe")
        check(stats.chisquare(counts).pvalue > ALPHA, f"onehot: classes not uniform, {counts}")
        repeats = sum(bool((a == b).all()) for a, b in pairwise(r))
        check(
            stats.binomtest(repeats, DRAWS - 1, 1 / m).pvalue > ALPHA,
            f"onehot: successive classes are not independent ({repeats} repeats)",
        )
        return 0.0
    if probe == "gaussian":
        tail = stats.chi2.cdf(squares.sum(), r.size)
        check(2 * min(tail, 1 - tail) > ALPHA, f"gaussian: variance {squares.sum() / r.size:.3f}")
    marginal = {
        "gaussian": lambda: stats.kstest(r.ravel(), "norm").pvalue,
        "rademacher": lambda: stats.binomtest(int((r > 0).sum()), r.size).pvalue,
    }.get(probe, lambda: stats.kstest(r[:, 0] ** 2 / m, "beta", args=(0.5, (m - 1) / 2)).pvalue)()
    check(marginal > ALPHA, f"{probe}: coordinates do not follow the law (p = {marginal:.1e})")
    # Independent probes: Σ r_b·r_(b+1) has mean 0 and variance m a pair; likewise two coordinates.
    for what, products in (
        ("examples", (r[:-1] * r[1:]).sum(axis=1) / np.sqrt(m)),
        ("coordinates", r[:, 0] * r[:, 1]),
    ):
        z = abs(products.sum()) / np.sqrt(len(products))
        check(2 * stats.norm.sf(z) > ALPHA, f"{probe}: {what} are correlated ({z:.1f} deviations)")
    return 0.0


def check(holds: bool, message: str) -> None:
    """Broken, unless it holds."""
    if not holds:
        raise Broken(message)
