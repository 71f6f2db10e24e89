"""Other ways to the same number: probes of the inputs, finite differences, lower precision."""

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import numpy as np

from gradreg_ref.penalties import PENALTIES, evaluate
from gradreg_ref.typing import Array
from gradreg_verify.claims import estimators, formulas, reference
from gradreg_verify.claims.comparison import FLOOR, LIMIT, direction_for, near, same
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example, Variant
from gradreg_verify.kept import kept
from gradreg_verify.outcomes import NotHere, NotTestable, largest, said
from gradreg_verify.rounding import UNIT_ROUNDOFF, Undecided, slope_bound, value_bound
from gradreg_verify.subject.suited import large_batch

# Of a gradient by differences of ordinary gradients, relative: h² with h = ∛ε is 4e-11, and so are
# its rounding errors ε/h; one-sided h with h = √ε is 1e-8. Both times the network's own scales.
DIFFERENCES = {"finite_difference": 1e-6, "one_sided_difference": 1e-3}


def input_side(target: Target, e: Example) -> Iterator[float]:
    """SpectReg's claims with probes of the inputs: the same mean, and variances with A = JᵀJ."""
    if "input" not in target.backend.capabilities().sides:
        raise NotTestable("it has probes of the logits only")
    mirror = replace(target, probed="input")
    for check in _OF_EITHER_SIDE:
        with suppress(NotHere):
            yield largest(check(mirror, e))


_OF_EITHER_SIDE = (
    formulas.quadratic_form,
    estimators.unbiased,
    estimators.gaussian,
    estimators.rademacher,
    estimators.sphere,
    estimators.averaged,
    estimators.orthogonal_frame,
)


def differences(target: Target, e: Example) -> Iterator[float]:
    """Exact values, and gradients to the order of the step, by differences of gradients."""
    known = target.backend.capabilities().modes
    # Both modes run the same steps: the one-sided one is asked on some networks.
    asked = DIFFERENCES if target.representative(e) else ("finite_difference",)
    modes = [mode for mode in asked if mode in known]
    if not modes:
        raise NotTestable("it has no finite differences")
    variants = [v for v in target.variants(e) if PENALTIES[v.penalty].of == "jacobian"]
    yield from (_difference(target, e, v, mode) for v in variants for mode in modes)


def _difference(target: Target, e: Example, variant: Variant, mode: str) -> float:
    """Compare one penalty's value and slope in one mode; return the share of their limits."""
    penalty, options = variant.penalty, {"reduction": "sum"} | variant.options
    got = target.value(penalty, e, mode=mode, **options)
    value = same(f"{penalty}, value, {mode}", got, reference.value(penalty, e, **options))
    direction = direction_for(e)
    slope, scale = target.slope(penalty, e, direction, mode=mode, **options)
    expected = reference.slope(penalty, e, direction, **options)
    bound = DIFFERENCES[mode] * max(scale, FLOOR * np.abs(direction).sum(), abs(expected))
    what = f"{penalty}, parameter gradient, {mode}"
    return max(value / LIMIT, near(what, slope, expected, bound))


def precision(target: Target, e: Example) -> Iterator[float]:
    """Check that value and gradient in lower precision are within the rounding bounds."""
    # Dyadic numbers hardly round, but only dyadic networks have ReLUs: a function may look at them.
    five = len(e.x) == 5
    if not (five and not e.exact if target.declared is None else five or not e.exact):
        raise NotHere("other networks show how it rounds")
    # A function may compute in half precision where the model is in training mode.
    mode = {"training": True} if five and target.declared and not e.batch_norm else {}
    yield from _in_low_precision(target, e, mode)


def precision_of_a_large_batch(target: Target, e: Example) -> Iterator[float]:
    """The same in a batch that is larger than chunks, where a function may save memory."""
    target.function()
    target.require_asked_once(e)
    large, shares = large_batch(), list[float]()
    with said(f"in a batch of {len(large.x)}"):
        for mode in {}, {"training": True}:
            shares += _in_low_precision(target, large, mode)
    if not shares:
        raise NotHere("it has more probes than logits there")
    yield from shares


def _in_low_precision(target: Target, e: Example, mode: Mapping[str, bool]) -> Iterator[float]:
    """Every variant in every precision, unless its rounding is undecided."""
    if not target.dtypes:
        raise NotTestable("no lower precision")
    for dtype in target.dtypes:
        for penalty, options, _ in target.variants(e):
            with suppress(Undecided):  # a kink that rounding may cross, or a number out of range
                single = replace(target, dtype=dtype)
                yield within_rounding(single, penalty, e, mode, **options)


_OVERFLOW = {"float32": 2.0**128, "bfloat16": 2.0**128, "float16": 2.0**16}


def within_rounding(
    target: Target, penalty: str, e: Example, mode: Mapping[str, bool] = {}, **options: Any
) -> float:
    """Value within the running error bound, slope within that of Monte-Carlo arithmetic.

    The larger share of its bound that is used up. `mode`: of the model.
    """
    options = options | {"reduction": "sum"}
    direction = direction_for(e)
    value, radius, slope, deviation = _bounds(penalty, e, UNIT_ROUNDOFF[target.dtype], options)
    if max(float(value + radius), abs(slope) + deviation) >= _OVERFLOW[target.dtype]:
        raise Undecided(f"{penalty} is out of the range of {target.dtype}")
    what = f"{penalty} in {target.dtype}{' in training mode' if mode else ''}"
    got = target.value(penalty, e, **options, **mode)
    share = near(what, got, value, radius)
    got, _ = target.slope(penalty, e, direction, **options, **mode)
    return max(share, near(f"gradient of {what}", got, slope, deviation))


@kept
def _bounds(
    penalty: str, e: Example, u: float, options: dict[str, Any]
) -> tuple[Array, Array, float, float]:
    """The value with the bound of its error, and the slope with the bound of its error."""
    _, _, y = e.arguments(options)

    def f(network: Any, x: Any) -> Any:
        return evaluate(penalty, network, x, y, **options)

    at, rng = (f, e.network, e.x), np.random.default_rng(5)
    return *value_bound(*at, u), *slope_bound(*at, direction_for(e), u, rng)
