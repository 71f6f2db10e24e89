"""Bounds on the error of a computation in low precision, derived from the formulas.

`value_bound` runs the reference on numbers that carry an error bound, `slope_bound` on numbers with
random rounding errors. The formulas are the same ones.
"""

from gradreg_verify.rounding.bounded import Undecided
from gradreg_verify.rounding.bounds import UNIT_ROUNDOFF, slope_bound, value_bound
from gradreg_verify.rounding.rules import TRANSCENDENTAL

__all__ = ["TRANSCENDENTAL", "UNIT_ROUNDOFF", "Undecided", "slope_bound", "value_bound"]
