"""The mean and the variance of SpectReg's estimate.

Exact: an estimate is a quadratic form in its probe, so finite rules (`gradreg_ref.cubature`) give
its expectation without sampling.
"""

from collections.abc import Iterator

import numpy as np

from gradreg_ref import cubature
from gradreg_ref.cubature import Rule, moments_of
from gradreg_ref.moments import batch_mean_variance, gram, mean, variance
from gradreg_ref.typing import Law
from gradreg_verify.claims import reference
from gradreg_verify.claims.comparison import direction_for, in_any_order, same
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example, Variant
from gradreg_verify.outcomes import NotHere, NotTestable

# Rules of degree 3 by law; two orthonormal probes or more have no axes of their own.
_DEGREE_3 = {
    "gaussian": cubature.gaussian_axes,
    "rademacher": cubature.all_signs,
    "onehot": cubature.onehot_classes,
    **dict.fromkeys(("sphere", "orthogonal", "frames"), cubature.sphere_axes),
}
_MOST_SIGNS, _MOST_LENGTH = 6, 10


def unbiased(target: Target, e: Example) -> Iterator[float]:
    """E f = ‖J‖²_F by a rule of degree 3 for every law the target draws; the same for ∇_θ."""
    m = target.length(e)
    if m > _MOST_LENGTH:
        raise NotHere(f"probes of length {m}")
    for law in target.laws():
        if law != "rademacher" or m <= _MOST_SIGNS:
            yield from _unbiased_for(target, e, _DEGREE_3[law](m))


def _unbiased_for(target: Target, e: Example, rule: Rule) -> Iterator[float]:
    """Mean of the value, and of the gradient along a direction, under a rule of equal weights."""
    direction, one, p = direction_for(e), target.with_values(e), len(rule.points)
    slope, scale = target.total_slope(e, rule.points, direction)
    value = rule.weights @ target.estimates(one, rule.points)
    expected = reference.slope("frobreg", e, direction, reduction="sum")
    yield same("E spectreg", value, reference.value("frobreg", one, reduction="none"))
    yield same("E ∇ spectreg", slope / p, expected, scale=scale / p)


def _variance_is(target: Target, e: Example, rule: Rule, probe: Law) -> Iterator[float]:
    """Mean and variance of the estimate under a rule of degree 5 are the closed forms."""
    one = target.with_values(e)
    got_mean, got_variance = moments_of(target.estimates(one, rule.points), rule)
    A = gram(one.J, target.side)
    scale = float((mean(A) ** 2).max())
    yield same(f"E spectreg, {probe}", got_mean, mean(A))
    yield same(f"Var spectreg, {probe}", got_variance, variance(A, probe), scale=scale)


def gaussian(target: Target, e: Example) -> Iterator[float]:
    """2‖A‖²_F."""
    m = target.length(e)
    target.require_few(2 * m * m + 1)
    return _variance_is(target, e, cubature.stroud_5_2(m), "gaussian")


def gaussian_batch(target: Target, e: Example) -> Iterator[float]:
    """Check the variance of a batch mean, (2/B²) Σ_b ‖A_b‖²_F, by a rule on R^(Bm)."""
    n, m = len(e.x), target.length(e)
    target.require_few(2 * (n * m) ** 2 + 1)
    rule = cubature.stroud_5_2(n * m)
    means = target.means(e, rule.points.reshape(-1, n, m))
    _, got = moments_of(means, rule)
    A = gram(e.J, target.side)
    scale = float(mean(A).mean() ** 2)
    yield same("Var of the batch mean", got, batch_mean_variance(A, "gaussian"), scale=scale)


def rademacher(target: Target, e: Example) -> Iterator[float]:
    """2(‖A‖²_F − Σ_k A_kk²), by all 2^m signs."""
    m = target.length(e)
    target.require_few(2**m)
    return _variance_is(target, e, cubature.all_signs(m), "rademacher")


def sphere(target: Target, e: Example) -> Iterator[float]:
    """2m/(m + 2) (‖A‖²_F − (tr A)²/m), by a design of 2m² points."""
    m = target.length(e)
    target.require_few(2 * m * m)
    return _variance_is(target, e, cubature.sphere_degree_5(m), "sphere")


def averaged(target: Target, e: Example) -> Iterator[float]:
    """The mean of q probes' estimates."""
    target.require_representative(e)
    n, m = len(e.x), target.length(e)
    q = 4 if target.declaration is None else target.declaration.num_probes
    if q == 1:
        raise NotTestable("it has one probe")
    columns = np.random.default_rng(8).integers(-8, 9, (n, m, q)) / 4
    singles = target.estimates(e, columns.transpose(2, 0, 1))
    together = target.estimate(e, columns)
    v = Variant("spectreg", target.sided({"probes": columns}), e.exact and q in (1, 4))
    limit = in_any_order(e, v)
    yield same("mean over probes", together, np.mean(singles, axis=0), exact=limit)


def orthogonal_frame(target: Target, e: Example) -> Iterator[float]:
    """m orthogonal probes give ‖J‖²_F."""
    target.require_representative(e)
    n, m = len(e.x), target.length(e)
    rng = np.random.default_rng(2)
    frame = np.sqrt(m) * np.linalg.qr(rng.standard_normal((n, m, m)))[0]
    exact = reference.value("frobreg", e, reduction="none")
    yield same("m orthogonal probes", target.estimate(e, frame), exact)


def frames_cancel(target: Target, e: Example) -> Iterator[float]:
    """Check that the sum over m equal examples is m tr A in every draw: their noise cancels.

    Of probes of the inputs, as many examples as input coordinates cancel.
    """
    d, m = target.declaration, target.length(e)
    if m == 1 or (d is not None and d.num_probes > 1):
        raise NotHere("one logit, or several probes")
    target.require_representative(e)
    equal = e.rows(np.zeros(m, int))
    drawn = {"probe": "frames", "num_probes": 1, "seed": 5, "reduction": "sum"}
    expected = reference.value("frobreg", equal, reduction="sum")
    what = "Σ_k r_kᵀA r_k of equal examples"
    yield same(what, target.value("spectreg", equal, **drawn), expected)
