"""Other ways to the same number: probes of the inputs, finite differences."""

from contextlib import suppress
from dataclasses import replace

import numpy as np

from gradreg_ref.penalties import PENALTIES
from gradreg_verify.claims import estimators, formulas, reference
from gradreg_verify.claims.comparison import FLOOR, LIMIT, direction_for, near, same
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example, Variant
from gradreg_verify.outcomes import NotHere, NotTestable, largest

# Of a gradient by differences of ordinary gradients, relative: h² with h = ∛ε is 4e-11, and so are
# its rounding errors ε/h; one-sided h with h = √ε is 1e-8. Both times the network's own scales.
DIFFERENCES = {"finite_difference": 1e-6, "one_sided_difference": 1e-3}


def input_side(target: Target, e: Example) -> float:
    """SpectReg's claims with probes of the inputs: the same mean, and variances with A = JᵀJ."""
    if "input" not in target.backend.capabilities().sides:
        raise NotTestable("it has probes of the logits only")
    mirror = replace(target, probed="input")
    errors = []
    for check in _OF_EITHER_SIDE:
        with suppress(NotHere):
            errors.append(check(mirror, e))
    return largest(errors)


_OF_EITHER_SIDE = (
    formulas.quadratic_form,
    estimators.unbiased,
    estimators.gaussian,
    estimators.rademacher,
    estimators.sphere,
    estimators.averaged,
    estimators.orthogonal_frame,
)


def differences(target: Target, e: Example) -> float:
    """Exact values, and gradients to the order of the step, by differences of gradients."""
    known = target.backend.capabilities().modes
    # Both modes run the same steps: the one-sided one is asked on some networks.
    asked = DIFFERENCES if target.representative(e) else ("finite_difference",)
    modes = [mode for mode in asked if mode in known]
    if not modes:
        raise NotTestable("it has no finite differences")
    variants = [v for v in target.variants(e) if PENALTIES[v.penalty].of == "jacobian"]
    return largest([_difference(target, e, v, mode) for v in variants for mode in modes])


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
