"""Monte-Carlo arithmetic: every result off by a random relative error of the unit roundoff.

Parker, "Monte Carlo arithmetic" (1997).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from gradreg_ref.complex_step import STEP
from gradreg_ref.networks import Network
from gradreg_ref.rounding.carrier import COMPARISONS, Carrier, plain
from gradreg_ref.typing import Array, Rng


class Perturbed(Carrier):
    """Numbers in arithmetic whose every result is off by a random u·ξ, |ξ| <= 1, relative."""

    def __init__(self, value: Array, u: float, rng: Rng) -> None:
        self.value, self.u, self.rng = value, u, rng

    def like(self, operation: Callable[[Array], Any]) -> Perturbed:
        """The same of the value."""
        return Perturbed(operation(self.value), self.u, self.rng)

    @property
    def imag(self) -> Array:
        """What a complex step reads."""
        return self.value.imag

    def rounded(self, value: Array) -> Perturbed:
        """A result with its rounding; real and imaginary part each have their own."""

        def noise() -> Array:
            return 1 + self.u * self.rng.uniform(-1, 1, np.shape(value))

        noisy = value.real * noise() + (1j * value.imag * noise() if np.iscomplexobj(value) else 0)
        return Perturbed(noisy, self.u, self.rng)

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **kwargs: Any) -> Any:
        value = getattr(ufunc, method)(*(plain(operand) for operand in inputs), **kwargs)
        return value if ufunc in (*COMPARISONS, np.absolute) else self.rounded(value)

    def __array_function__(self, func: Any, _: Any, args: Any, kwargs: Any) -> Any:
        arguments = [[plain(b) for b in a] if isinstance(a, list) else plain(a) for a in args]
        value = func(*arguments, **kwargs)
        return self.rounded(value) if func in (np.einsum, np.sum) else self.like(lambda _: value)


def slope_bound(
    f: Callable[[Network, Any], Any],
    network: Network,
    x: Array,
    direction: Array,
    u: float,
    rng: Rng,
    *,
    runs: int = 8,
    factor: float = 6,
) -> tuple[float, float]:
    """∇_θ f · direction, and how far arithmetic of unit roundoff u may be from it.

    Parameters
    ----------
    f, network, x, u
        As in `value_bound`; f must be a scalar.
    direction : array
        Of the shape of ``network.parameters()``; one random direction checks a whole gradient.
    rng : numpy.random.Generator
        Where the roundings are drawn from.
    runs, factor
        The bound is `factor` times the largest of `runs` deviations.

    Returns
    -------
    slope, bound : float
    """
    theta = network.parameters() + 1j * STEP * direction

    def slope(unit: float) -> float:
        def rounded(a: Array) -> Any:
            return Perturbed(a, unit, rng).rounded(a)

        value = f(network.with_parameters(rounded(theta)), rounded(x)).imag / STEP
        return float(value) if abs(value) >= STEP else 0.0  # as in gradreg_ref.complex_step

    exact = slope(0.0)
    return exact, factor * max(abs(slope(u) - exact) for _ in range(runs))
