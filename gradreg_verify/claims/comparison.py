"""How a number of an implementation is compared with the reference."""

from typing import Any

import numpy as np

from gradreg_ref.typing import Array
from gradreg_verify.claims import reference
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example, Variant
from gradreg_verify.outcomes import Broken

# float64 formulas differ from the reference by at most 1e-14 (seen), and the smallest effect of a
# planted mistake is 2.6e-7: any limit between separates them.
LIMIT = 1e-9
# Below this a number is a difference of rounding errors: networks and inputs are of size one, and
# at 1e-6 a limit of 1e-9 is 1e-15. A slope's terms have the size of its direction.
FLOOR = 1e-6
# Limit for the same computation made twice: threads may add in another order.
_FEW_ROUNDINGS = 2.0**-50


def direction_for(e: Example) -> Array:
    """A dyadic direction without zeros: sums along it stay exact, and no parameter is left out."""
    rng = np.random.default_rng(1)
    size = e.network.parameters().size
    return rng.integers(1, 32, size) * rng.choice([-0.25, 0.25], size)


def same(
    what: str, got: Any, expected: Any, *, exact: float | bool = False, scale: float = 0.0
) -> float:
    """The largest difference, relative to the largest number expected; Broken where too large.

    Parameters
    ----------
    what : str
        Named in the message.
    exact : float or bool
        The largest difference itself, by `order_of_value`; True: up to `_FEW_ROUNDINGS`, False: up
        to `LIMIT`, both relative.
    scale : float
        Size of the terms, where they cancel in the number compared.
    """
    got, expected = np.asarray(got), np.asarray(expected)
    if got.shape != expected.shape:
        raise Broken(f"{what}: expected shape {expected.shape}, got {got.shape}")
    difference = float(np.abs(got - expected).max())
    size = max(float(np.abs(expected).max()), scale, FLOOR)
    relative = difference / size
    relative_limit = _FEW_ROUNDINGS if exact else LIMIT
    limit = relative_limit if isinstance(exact, bool) else min(exact / size, LIMIT)
    if not relative <= limit:
        raise Broken(f"{what}: expected {_brief(expected)} (within {limit:.0e}), got {_brief(got)}")
    return relative


def in_any_order(e: Example, variant: Variant) -> float | bool:
    """Bound the difference that another order of the sums may make, where a variant is exact."""
    penalty, options, exact = variant
    return exact and reference.order_of_value(penalty, e, options)


def _brief(a: Array) -> str:
    """Print enough digits to see the difference, and few enough entries to read."""
    text = np.array2string(a, precision=17, threshold=8, edgeitems=3, separator=", ")
    return " ".join(text.split())


def near(what: str, got: Any, expected: Any, bound: Any) -> float:
    """The difference as a share of the bound; Broken where it is more."""
    difference = abs(float(got) - float(expected))
    if not difference <= float(bound):
        raise Broken(f"{what}: expected {float(expected)} ± {float(bound):.1e}, got {float(got)}")
    return difference / float(bound) if bound else 0.0


def agree(target: Target, e: Example, variant: Variant, **settings: Any) -> float:
    """Value and parameter gradient are those of the reference."""
    penalty, options = variant.penalty, {"reduction": target.reduction} | variant.options
    got = target.value(penalty, e, **options, **settings)
    expected = reference.value(penalty, e, **options)
    limit = in_any_order(e, variant._replace(options=options))
    error = same(f"{penalty}, value", got, expected, exact=limit)
    return max(error, same_gradient(target, e, variant, target.reduction, **settings))


def same_gradient(
    target: Target,
    e: Example,
    variant: Variant,
    reduction: str,
    direction: Array | None = None,
    **settings: Any,
) -> float:
    """The parameter gradient along a direction: one direction checks all of it, almost surely."""
    penalty, options = variant.penalty, {"reduction": reduction} | variant.options
    direction = direction_for(e) if direction is None else direction
    slope, scale = target.slope(penalty, e, direction, **options, **settings)
    return same(
        f"{penalty}, parameter gradient",
        slope,
        reference.slope(penalty, e, direction, **options),
        exact=variant.exact and reference.order_of_slope(penalty, e, options, direction),
        scale=max(scale, FLOOR * np.abs(direction).sum()),
    )
