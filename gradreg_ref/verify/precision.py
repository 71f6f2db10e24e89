"""S14: lower precision stays within a derived bound, and bad input is refused."""

from dataclasses import replace
from typing import Any

import numpy as np

from gradreg_ref.loopback import FORMULAS, evaluate
from gradreg_ref.rounding import UNIT_ROUNDOFF, Undecided, slope_bound, value_bound
from gradreg_ref.verify.comparison import Broken, Target, arguments, direction_for
from gradreg_ref.verify.examples import Example
from gradreg_ref.verify.formulas import variants
from gradreg_ref.verify.refusals import refusals


def precision(target: Target, e: Example) -> float:
    """Refusals; and value and gradient in float32 within what rounding can do."""
    error = refusals(target, e)
    if "float32" not in target.backend.capabilities().dtypes:
        return error
    single = replace(target, dtype="float32")
    for penalty, options, _ in variants(e):
        try:
            within_rounding(single, penalty, e, **options)
        except Undecided:  # a kink so near that rounding may cross it: nothing can be said
            continue
    return error


def within_rounding(target: Target, penalty: str, e: Example, **options: Any) -> None:
    """Value within the running error bound, slope within that of Monte-Carlo arithmetic."""
    u = UNIT_ROUNDOFF[target.dtype]
    options = options | {"reduction": "sum"}
    _, _, y = arguments(e, options)
    direction = direction_for(e)

    def f(network: Any, x: Any) -> Any:
        return evaluate(FORMULAS[penalty], network, x, y, **options)

    value, radius = value_bound(f, e.network, e.x, u)
    near(f"{penalty} in {target.dtype}", target.value(penalty, e, **options), value, radius)
    slope, deviation = slope_bound(f, e.network, e.x, direction, u, np.random.default_rng(5))
    got = target.gradient(penalty, e, **options) @ direction
    near(f"gradient of {penalty} in {target.dtype}", got, slope, deviation)


def near(what: str, got: Any, expected: Any, bound: Any) -> None:
    """Broken, unless the difference is within the bound."""
    if not abs(float(got) - float(expected)) <= float(bound):
        raise Broken(f"{what}: expected {float(expected)} ± {float(bound):.1e}, got {float(got)}")
