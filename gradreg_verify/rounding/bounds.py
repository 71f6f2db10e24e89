"""How far a low-precision backend may be from the reference: of a value, and of a gradient."""

from collections.abc import Callable
from dataclasses import fields, replace
from typing import Any

import numpy as np

from gradreg_ref.complex_step import directional_derivative
from gradreg_ref.networks import Layer, Network, Residual
from gradreg_ref.typing import Array, Rng
from gradreg_verify.rounding.bounded import Bounded
from gradreg_verify.rounding.perturbed import Perturbed

_Formula = Callable[[Network, Array], Array]

# Half the distance from 1 to the next number. TF32: products of numbers rounded to it.
UNIT_ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "tf32": 2.0**-11,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
}


def value_bound(f: _Formula, network: Network, x: Array, u: float) -> tuple[Array, Array]:
    """f(network, x), and a bound of |fl(f) − f| for every order of its sums and matrix products.

    Network and inputs are rounded to the format too. A comparison that rounding decides (a ReLU
    near its kink) takes both branches: the bound covers both, and is then as large as they differ.
    Compare it with the value before calling an agreement within it a success.

    Parameters
    ----------
    f : callable
        Of a network and inputs, to a scalar or (n,); made of the operations of this package.
    network, x
        Where.
    u : float
        Unit roundoff of the computation bounded, as in `UNIT_ROUNDOFF`.

    Returns
    -------
    value, bound : arrays
        Of the shape of f.

    Raises
    ------
    Undecided
        Rounding can make a divisor zero, or move the maximum of a pool.
    TypeError
        An operation without a rounding rule.

    Examples
    --------
    >>> import numpy as np
    >>> from gradreg_ref import frobreg
    >>> from gradreg_ref.networks import Linear
    >>> third = Network((Linear(np.array([[1 / 3]])),))
    >>> value, bound = value_bound(
    ...     lambda g, x: frobreg(g.jacobian(x)), third, np.ones((1, 1)), 2**-24
    ... )
    >>> round(float(value), 6), round(float(bound / value * 2**24), 3)  # stored, and squared
    (0.111111, 3.0)
    """
    result: Any = evaluated(f, network, x, lambda a: Bounded.stored(a, u))
    return result.value, result.radius


_EVALUATIONS = 8  # perturbed ones
_FACTOR = 6.0  # from the largest deviation among them to the tolerance


def slope_bound(
    f: _Formula, network: Network, x: Array, direction: Array, u: float, rng: Rng
) -> tuple[float, float]:
    """∇_θ f(network, x) · direction, and a tolerance for it by Monte-Carlo arithmetic.

    The tolerance is `_FACTOR` times the largest deviation of perturbed evaluations: an estimate,
    not a proof, in proportion to u and to the conditioning of this gradient at this place. One
    random direction checks a whole gradient, almost surely.

    Parameters
    ----------
    f : callable
        Of a network and inputs, to a scalar; made of the operations of this package.
    network, x
        Where.
    direction : array (p,)
        In the order of ``network.parameters()``.
    u : float
        Unit roundoff of the computation judged, as in `UNIT_ROUNDOFF`.
    rng : numpy.random.Generator
        Of the perturbations.

    Returns
    -------
    slope : float
        By complex step.
    tolerance : float
        Of the slope.

    Examples
    --------
    >>> import numpy as np
    >>> from gradreg_ref import frobreg
    >>> from gradreg_ref.networks import Linear
    >>> third = Network((Linear(np.array([[1 / 3]])),))
    >>> rng = np.random.default_rng(0)
    >>> slope, tolerance = slope_bound(
    ...     lambda g, x: frobreg(g.jacobian(x)), third, np.ones((1, 1)), np.ones(1), 2**-24, rng
    ... )
    >>> round(slope, 6), bool(tolerance < 20 * 2**-24)
    (0.666667, True)
    """

    def deviation(seed: int) -> float:
        errors = np.random.default_rng(seed)

        def perturbed(theta: Network) -> Array:
            result: Any = evaluated(f, theta, x, lambda a: Perturbed(a, u, errors))
            return result.value

        return abs(float(directional_derivative(perturbed, network, direction)) - slope)

    slope = float(directional_derivative(lambda theta: f(theta, x), network, direction))
    return slope, _FACTOR * max(map(deviation, rng.integers(2**63, size=_EVALUATIONS)))


def evaluated(f: _Formula, network: Network, x: Array, convert: Callable[[Array], Any]) -> Any:
    """f with every array of the network, trained or not, and the inputs converted."""
    return f(Network(_converted(network.layers, convert)), convert(x))


def _converted(layers: tuple[Layer, ...], convert: Callable[[Array], Any]) -> tuple[Layer, ...]:
    """The layers, with their arrays converted."""

    def layer(old: Any) -> Any:
        if isinstance(old, Residual):
            return Residual(_converted(old.body, convert))
        held = {field.name: getattr(old, field.name) for field in fields(old)}
        return replace(old, **{k: convert(a) for k, a in held.items() if isinstance(a, np.ndarray)})

    return tuple(layer(old) for old in layers)
