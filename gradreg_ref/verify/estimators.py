"""S4–S8: the mean and the variance of SpectReg's estimate.

Exact: an estimate is a quadratic form in its probe, so finite rules (`gradreg_ref.cubature`) give
its expectation without sampling.
"""

from typing import Any

import numpy as np

from gradreg_ref import cubature
from gradreg_ref.cubature import Rule, expectation, mean_and_variance
from gradreg_ref.moments import batch_mean_variance, gram, mean, variance
from gradreg_ref.typing import Law
from gradreg_ref.verify.comparison import Target, same
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
