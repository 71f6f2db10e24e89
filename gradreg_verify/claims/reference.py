"""What the reference says: the value of a penalty at an example, and its slope.

And a bound on the rounding of a right formula that adds in another order than the reference.
On dyadic examples every operation of the reference is exact, but a right formula need not be: one
that divides by m at the start, or squares a root, rounds. A term of a value passes t products and
sums at most, in every order, so the sum is off by γ_t Σ |terms|, γ_t = t u / (1 − t u). The same
formula at |θ|, |x| and |probes| is Σ |terms|, and its slope along |direction| is that of the slope.
(Higham, "Accuracy and Stability of Numerical Algorithms", 2002, section 3.1.)
"""

from typing import Any

import numpy as np

from gradreg_ref.complex_step import directional_derivative
from gradreg_ref.penalties import evaluate
from gradreg_ref.typing import Array
from gradreg_verify.examples import Example
from gradreg_verify.frameworks.loopback import LoopbackBackend
from gradreg_verify.kept import kept
from gradreg_verify.rounding import UNIT_ROUNDOFF

_BACKEND = LoopbackBackend()


@kept
def value(penalty: str, e: Example, **options: Any) -> Array:
    """Return what the reference says the penalty is."""
    return np.asarray(_BACKEND.value(penalty, *e.arguments(options), **options))


@kept
def slope(penalty: str, e: Example, direction: Array, **options: Any) -> Array:
    """The reference's derivative along a direction of parameters, by complex step."""
    return _BACKEND.slope(penalty, *e.arguments(options), direction, **options)


_MORE = 16  # roundings beside the sums: a root and its square, scales, reductions


@kept
def order_of_value(penalty: str, e: Example, options: dict[str, Any]) -> float:
    """The bound of a value summed over the batch, or of each example's value."""
    f, network = _of_absolute_values(penalty, e, options)
    each = f(network)
    return _gamma(e) * float(each.max() if options.get("reduction") == "none" else each.sum())


@kept
def order_of_slope(penalty: str, e: Example, options: dict[str, Any], direction: Array) -> float:
    """The bound of the slope along a direction, summed over the batch."""
    f, network = _of_absolute_values(penalty, e, options)
    slope = directional_derivative(lambda net: f(net).sum(), network, np.abs(direction))
    return _gamma(e) * float(slope)


def _of_absolute_values(penalty: str, e: Example, options: dict[str, Any]) -> tuple[Any, Any]:
    """The formula where no terms cancel, from a network to values (n,), and the network."""
    given = {k: np.abs(v) if isinstance(v, np.ndarray) else v for k, v in options.items()}
    given["reduction"] = "none"
    regression = options.get("loss") == "mean_squared_error"
    y, x = (-np.abs(e.targets) if regression else e.y), np.abs(e.x)  # z − y is a sum
    network = e.network.with_parameters(np.abs(e.network.parameters()))
    return lambda net: np.asarray(evaluate(penalty, net, x, y, **given)), network


def _gamma(e: Example) -> float:
    """γ_t: forwards and backwards through the network, twice for a gradient, then the squares."""
    t = 4 * (e.network.parameters().size + e.x.size + e.probes.size) + _MORE
    u = UNIT_ROUNDOFF["float64"]
    return t * u / (1 - t * u)
