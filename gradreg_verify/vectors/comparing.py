"""One vector's numbers against others, and against those of the catalogue's mistakes."""

from typing import Any

import numpy as np

from gradreg_ref.typing import Array
from gradreg_verify.files import WRONG
from gradreg_verify.mistakes import catalogue
from gradreg_verify.vectors.cases import compute
from gradreg_verify.vectors.numbers import decode, encode

# exp, tanh and erf differ between mathematical libraries in their last digits.
LIMIT = 1e-11
NUMBERS = ("value", "gradient")


def differs(case: dict[str, Any], what: str, got: Array) -> list[str]:
    """A sentence if a number is not that of the case: exactly, or to rounding."""
    expected = decode(case[what])
    if got.shape != expected.shape:
        return [f"{case['name']}, {what}: expected shape {expected.shape}, got {got.shape}"]
    size = max(float(np.abs(expected).max(initial=0)), 1e-6)
    with np.errstate(invalid="ignore"):  # infinities of a result
        difference = float(np.abs(got - expected).max(initial=0)) / size
    if difference <= (0 if case["exact"] else LIMIT):
        return []
    return [f"{case['name']}, {what}: differs by {difference:.1e} of {size:.3g}"]


def known_mistake(case: dict[str, Any], what: str, got: Array) -> str:
    """Which mistake of the kit's catalogue gives such a number; nothing if none does."""
    for wrong in catalogue.WRONG:
        if wrong.penalty == case["penalty"] and (made := by_mistake(case, wrong)):
            number = encode(made[NUMBERS.index(what)])
            if not differs(case | {what: number, "exact": False}, what, got):
                return f"; such is: {wrong.name}"
    return ""


def by_mistake(case: dict[str, Any], wrong: catalogue.Wrong) -> tuple[Array, Array] | None:
    """Value and gradient by a wrong formula; None where it has none for the case."""
    try:
        return compute(case, wrong.formula)
    except WRONG:
        return None


def shown_by(case: dict[str, Any], wrong: catalogue.Wrong) -> list[str]:
    """Which of a case's numbers a mistake changes: the value, the gradient, both or none."""
    made = by_mistake(case, wrong) if wrong.penalty == case["penalty"] else None
    if made is None:
        return []
    both = zip(NUMBERS, made, strict=True)
    return [what for what, number in both if differs(case, what, number)]
