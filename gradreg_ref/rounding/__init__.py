"""Tolerances for low precision, derived: the reference itself, run on arrays that carry an error.

*Values*: `value_bound` runs the formula on `Bounded` arrays, a number and a radius each; every
operation adds its own rounding u·|result| (γ_k for a sum of k products) to what it was given.
*Gradients*: `slope_bound` runs the complex step on `Perturbed` arrays, every operation's result
times 1 + u·ξ, and takes six times the largest deviation of eight such runs.

Formulas are verified in float64; these bounds are for asking whether a lower precision did no worse
than it must.
"""

from gradreg_ref.rounding.bounded import Bounded, Undecided, value_bound
from gradreg_ref.rounding.perturbed import Perturbed, slope_bound

# Half the distance from 1 to the next number. TF32 multiplies float32 with 10 bits of fraction.
UNIT_ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}

__all__ = ["UNIT_ROUNDOFF", "Bounded", "Perturbed", "Undecided", "slope_bound", "value_bound"]
