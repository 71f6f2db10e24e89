"""Compare a vector's numbers with other numbers, and with those of the catalogue's mistakes."""

from typing import Any

import numpy as np

from gradreg_ref.typing import Array
from gradreg_verify.files import WRONG
from gradreg_verify.mistakes import catalogue
from gradreg_verify.vectors.cases import compute, decode

# exp, tanh and erf differ between mathematical libraries in their last digits.
LIMIT = 1e-11
NUMBERS = ("value", "gradient")


def _off(expected: Array, got: Array, *, exact: bool) -> str:
    """Say how numbers differ, if by more than rounding; "" where they agree."""
    if got.shape != expected.shape:
        return f"expected shape {expected.shape}, got {got.shape}"
    size = max(float(np.abs(expected).max(initial=0)), 1e-6)
    with np.errstate(invalid="ignore"):  # infinities of a result
        difference = float(np.abs(got - expected).max(initial=0)) / size
    agrees = difference <= (0 if exact else LIMIT)
    return "" if agrees else f"differs by {difference:.1e} of {size:.3g}"


def differs(case: dict[str, Any], what: str, got: Array) -> list[str]:
    """A sentence if a number is not that of the case."""
    said = _off(decode(case[what]), got, exact=case["exact"])
    return [f"{case['name']}, {what}: {said}"] if said else []


def known_mistake(case: dict[str, Any], what: str, got: Array) -> str:
    """Name the mistake of the kit's catalogue that gives this number; "" if none does."""
    for wrong in catalogue.WRONG:
        made = by_mistake(case, wrong)
        if made is not None and not _off(made[NUMBERS.index(what)], got, exact=False):
            return f"; a known mistake has this number: {wrong.name}"
    return ""


def by_mistake(case: dict[str, Any], wrong: catalogue.Wrong) -> tuple[Array, Array] | None:
    """Value and gradient by a wrong formula; None where it has none for the case."""
    try:
        return compute(case, wrong.formula) if wrong.penalty == case["penalty"] else None
    except WRONG:
        return None
