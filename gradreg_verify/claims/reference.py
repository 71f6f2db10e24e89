"""What the reference says: the value of a penalty at an example, and its slope."""

from typing import Any

import numpy as np

from gradreg_ref.complex_step import directional_derivative
from gradreg_ref.penalties import evaluate
from gradreg_ref.typing import Array
from gradreg_verify.examples import Example
from gradreg_verify.kept import kept


@kept
def value(penalty: str, e: Example, **options: Any) -> Array:
    """Return what the reference says the penalty is."""
    return np.asarray(evaluate(penalty, *e.arguments(options), **options))


@kept
def slope(penalty: str, e: Example, direction: Array, **options: Any) -> Array:
    """The reference's derivative along a direction of parameters, by complex step."""
    _, x, y = e.arguments(options)

    def f(network: Any) -> Array:
        return np.asarray(evaluate(penalty, network, x, y, **options)).sum()

    return directional_derivative(f, e.network, direction)
