"""Running error bounds: numbers with a radius, and how operations widen it.

Higham, "Accuracy and stability of numerical algorithms" (2002), §3.
"""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np
from scipy.special import erf

from gradreg_ref.networks import Network
from gradreg_ref.rounding.carrier import COMPARISONS, Carrier
from gradreg_ref.typing import Array

# Libraries promise a few units in the last place for these.
TRANSCENDENTAL = (np.exp, np.log, np.tanh, erf)
ULPS = 4


class Undecided(ValueError):
    """A comparison that rounding could turn: choose inputs further from the kink."""


class Bounded(Carrier):
    """Numbers known to lie within `radius` of `value`, in arithmetic of unit roundoff `u`."""

    def __init__(self, value: Array, radius: Array, u: float) -> None:
        self.value, self.radius, self.u = value, radius, u

    def like(self, operation: Callable[[Array], Any]) -> Bounded:
        """The same of value and radius."""
        return Bounded(operation(self.value), operation(self.radius), self.u)

    def new(self, value: Array, propagated: Array, roundings: float = 1) -> Bounded:
        """A result: what its operands' errors become, and the rounding of its own."""
        return Bounded(value, propagated + roundings * self.u * np.abs(value), self.u)

    def split(self, operand: Any) -> tuple[Array, Array]:
        """Value and radius; plain numbers are exact."""
        if isinstance(operand, Bounded):
            return operand.value, operand.radius
        return np.asarray(operand), np.zeros(np.shape(operand))

    def argmax(self, axis: Any = None, **_: Any) -> Array:
        """Where the largest value is; Undecided where rounding could move it."""
        first = self.value.argmax(axis=axis)
        chosen = np.expand_dims(first, axis)
        top, blur = (np.take_along_axis(a, chosen, axis) for a in (self.value, self.radius))
        rivals = top - self.value < self.radius + blur
        np.put_along_axis(rivals, chosen, False, axis)
        if rivals.any():
            raise Undecided("expected a maximum further from the next than their rounding error")
        return first

    def __array_ufunc__(self, ufunc: np.ufunc, method: str, *inputs: Any, **_: Any) -> Any:
        a, *rest = [self.split(operand) for operand in inputs]
        if ufunc in COMPARISONS:
            if rest and (np.abs(a[0] - rest[0][0]) < a[1] + rest[0][1]).any():
                raise Undecided("expected numbers further from the kink than their rounding error")
            return ufunc(a[0], *(b[0] for b in rest))
        if ufunc not in UFUNCS or method != "__call__":
            return NotImplemented
        value = ufunc(a[0], *(b[0] for b in rest))
        exact = ufunc is np.negative
        roundings = 0 if exact else ULPS if ufunc in TRANSCENDENTAL else 1
        return self.new(value, UFUNCS[ufunc](a, *rest), roundings)

    def __array_function__(self, func: Any, _: Any, args: Any, kwargs: Any) -> Any:
        if func is np.einsum:
            return self.einsum(*args)
        if func is np.where:
            condition, *branches = args
            value, radius = zip(*(self.split(branch) for branch in branches), strict=True)
            return Bounded(np.where(condition, *value), np.where(condition, *radius), self.u)
        if func is np.broadcast_to:
            return self.like(lambda a: np.broadcast_to(a, *args[1:]))
        if func is np.sum:
            size = prod(self.shape) // max(1, np.sum(self.value, **kwargs).size)
            magnitude = np.sum(np.abs(self.value), **kwargs)
            radius = np.sum(self.radius, **kwargs) + gamma(size, self.u) * magnitude
            return Bounded(np.sum(self.value, **kwargs), radius, self.u)
        return NotImplemented

    def einsum(self, subscripts: str, *operands: Any) -> Bounded:
        """Σ of k products: |a|·r_b + r_a·|b| + r_a·r_b + γ_k |a|·|b|, summed in any order."""
        (a, ra), *rest = [self.split(operand) for operand in operands]
        b, rb = rest[0] if rest else (np.ones(()), np.zeros(()))
        subscripts = subscripts if rest else subscripts.replace("->", ",->")
        magnitude = np.einsum(subscripts, np.abs(a), np.abs(b))
        upper = np.einsum(subscripts, np.abs(a) + ra, np.abs(b) + rb)
        terms = summed(subscripts, a, b)
        radius = upper - magnitude + gamma(terms, self.u) * upper
        return Bounded(np.einsum(subscripts, a, b), radius, self.u)


def gamma(k: int, u: float) -> float:
    """γ_k = ku / (1 − ku), which bounds k roundings in a row."""
    return k * u / (1 - k * u)


def summed(subscripts: str, *operands: Array) -> int:
    """How many products an entry of the result is the sum of."""
    inputs, output = subscripts.split("->")
    sizes = {
        axis: length
        for axes, operand in zip(inputs.split(","), operands, strict=True)
        for axis, length in zip(axes, operand.shape, strict=True)
    }
    return prod(length for axis, length in sizes.items() if axis not in output)


def closest(a: tuple[Array, Array]) -> Array:
    """The least |z| within the radius: where a bell-shaped derivative is largest."""
    return np.maximum(np.abs(a[0]) - a[1], 0)


# Propagated error of operands (value, radius), by the mean value theorem.
UFUNCS: dict[Any, Callable[..., Array]] = {
    np.add: lambda a, b: a[1] + b[1],
    np.subtract: lambda a, b: a[1] + b[1],
    np.negative: lambda a: a[1],
    np.multiply: lambda a, b: np.abs(a[0]) * b[1] + a[1] * np.abs(b[0]) + a[1] * b[1],
    np.divide: lambda a, b: (a[1] + np.abs(a[0] / b[0]) * b[1]) / (np.abs(b[0]) - b[1]),
    np.exp: lambda a: np.exp(a[0]) * np.expm1(a[1]),
    np.log: lambda a: -np.log1p(-a[1] / a[0]),
    np.tanh: lambda a: a[1] * (1 - np.tanh(closest(a)) ** 2),
    erf: lambda a: a[1] * 2 / np.sqrt(np.pi) * np.exp(-(closest(a) ** 2)),
}


def value_bound(
    f: Callable[[Network, Any], Any], network: Network, x: Array, u: float
) -> tuple[Array, Array]:
    """f(network, x), and how far arithmetic of unit roundoff u may be from it.

    Parameters
    ----------
    f : callable
        ``f(network, x)``, a formula of the reference; a scalar or one value an example.
    network, x
        Their numbers are taken to be rounded to the format first.
    u : float
        One of `UNIT_ROUNDOFF`.

    Returns
    -------
    value, bound : arrays
        Of the shape of f's value.

    Raises
    ------
    Undecided
        Rounding could turn a comparison: a ReLU or a maximum too close to its kink.
    """

    def rounded(a: Array) -> Any:
        return Bounded(a, u * np.abs(a), u)

    result = f(network.with_parameters(rounded(network.parameters())), rounded(x))
    return result.value, result.radius
