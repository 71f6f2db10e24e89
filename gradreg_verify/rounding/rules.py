"""Rounding rules: one for every operation the reference uses.

`spread` is how far an exact operation on computed operands can be off; the roundings of its own
come on top (`Bounded.rounded`).
"""

from collections.abc import Callable
from functools import partial
from math import prod
from typing import Any

import numpy as np
from scipy.special import erf

from gradreg_ref.typing import Array
from gradreg_verify.rounding.bounded import RULES, Bounded, Undecided

# Roundings that stand for exp, log, tanh, erf: 4 units in the last place, each at most 2u. The
# libraries in use (libm, the vector loops of NumPy and torch, CUDA) state 0.5 to 4.
TRANSCENDENTAL = 8


def _add(a: Bounded, b: Bounded) -> Bounded:
    """a + b."""
    spread, magnitude = a.radius + b.radius, a.magnitude + b.magnitude
    return Bounded(a.value + b.value, spread, a.u, magnitude).rounded(1)


def _negative(a: Bounded) -> Bounded:
    """−a, exact."""
    return Bounded(-a.value, a.radius, a.u, a.magnitude)


def _multiply(a: Bounded, b: Bounded) -> Bounded:
    """a b, elementwise."""
    a, b = _anew(a, b)
    spread = a.radius * b.reach + a.magnitude * b.radius
    exact = Bounded(a.value * b.value, spread, a.u, a.magnitude * b.magnitude)
    return exact.rounded(0 if _power_of_two(a) or _power_of_two(b) else 1)


def _divide(a: Bounded, b: Bounded) -> Bounded:
    """a / b: |a′/b′ − a/b| <= (r_a + |a/b| r_b) / (|b| − r_b)."""
    _away_from_zero(b)
    size = np.abs(b.value)
    spread = (a.radius + a.magnitude / size * b.radius) / (size - b.radius)
    exact = Bounded(a.value / b.value, spread, a.u, a.magnitude / size)
    return exact.rounded(0 if _power_of_two(b) else 1)


def _einsum(subscripts: str, *operands: Bounded) -> Bounded:
    """Σ of k products of p factors: Π (magnitude + radius) − Π magnitude; p − 1 + k − 1 roundings.

    An operand with at most one nonzero entry in every sum picks: k = 1. A power of two multiplies
    without rounding.
    """
    operands = _anew(*operands)
    sizes, reaches = [a.magnitude for a in operands], [a.reach for a in operands]
    spread: Any = sum(
        np.einsum(subscripts, *sizes[:j], a.radius, *reaches[j + 1 :])
        for j, a in enumerate(operands)
    )
    value = np.einsum(subscripts, *(a.value for a in operands))
    products = max(sum(not _power_of_two(a) for a in operands) - 1, 0)
    additions = terms(subscripts, reaches) - 1
    exact = Bounded(value, spread, operands[0].u, np.einsum(subscripts, *sizes))
    return exact.rounded(products + additions)


def terms(subscripts: str, reaches: list[Array]) -> int:
    """k, the length of the sums; 1 where an operand has at most one nonzero entry in each."""
    inputs, output = subscripts.split("->")
    factors = list(zip(inputs.split(","), reaches, strict=True))
    lengths = {i: k for axes, a in factors for i, k in zip(axes, a.shape, strict=True)}
    summed = set(lengths) - set(output)
    for axes, a in factors:
        along = tuple(axes.index(i) for i in summed & set(axes))
        if summed <= set(axes) and np.count_nonzero(a, axis=along).max() <= 1:
            return 1
    return prod(lengths[i] for i in summed)


def _anew(*operands: Bounded) -> tuple[Bounded, ...]:
    """The factors of a product; each factor of a square counts as one number without terms."""
    if len({id(a) for a in operands}) == len(operands):
        return operands
    return tuple(Bounded(a.value, a.radius, a.u) for a in operands)


def _power_of_two(a: Bounded) -> bool:
    """Whether all entries are exactly ±2ʲ or 0."""
    return not a.radius.any() and bool(np.isin(np.frexp(np.abs(a.value))[0], (0, 0.5)).all())


def greater(a: Bounded, b: Bounded) -> Bounded:
    """a > b; rounding decides where the radii overlap."""
    radius = a.radius + b.radius
    undecided = (radius > 0) & (np.abs(a.value - b.value) <= radius)
    return Bounded(a.value > b.value, undecided.astype(float), a.u)


def where(condition: Bounded, a: Bounded, b: Bounded) -> Bounded:
    """Return one of two numbers; the radius covers both where rounding decides which."""
    value = np.where(condition.value, a.value, b.value)
    radius = np.where(condition.value, a.radius, b.radius)
    either = np.maximum(np.abs(a.value - value) + a.radius, np.abs(b.value - value) + b.radius)
    return Bounded(value, np.where(condition.radius, either, radius), a.u)


def _away_from_zero(z: Bounded) -> None:
    """A divisor, or an argument of log or √, that rounding cannot make zero."""
    if (z.radius >= np.abs(z.value)).any():
        raise Undecided(
            f"expected a number that rounding to u = {z.u:g} keeps away from zero, "
            f"got {z.value} within {z.radius}; take other inputs or a finer format"
        )


def nearest(z: Array, r: Array) -> Array:
    """min |z′| over |z′ − z| <= r, where the slope of tanh and erf is largest."""
    return np.maximum(np.abs(z) - r, 0)


def _applied(
    f: Callable[[Array], Array],
    spread: Callable[[Array, Array], Array],
    operations: int,
    z: Bounded,
) -> Bounded:
    """f(z), from max |f(z′) − f(z)| over |z′ − z| <= r."""
    if f in (np.log, np.sqrt):
        _away_from_zero(z)
    return Bounded(f(z.value), spread(z.value, z.radius), z.u).rounded(operations)


_FUNCTIONS: list[tuple[Any, Callable[[Array, Array], Array], int]] = [
    (np.exp, lambda z, r: np.exp(z) * np.expm1(r), TRANSCENDENTAL),
    (np.log, lambda z, r: -np.log1p(-r / z), TRANSCENDENTAL),
    (np.tanh, lambda z, r: r / np.cosh(nearest(z, r)) ** 2, TRANSCENDENTAL),
    (erf, lambda z, r: r * 2 / np.sqrt(np.pi) * np.exp(-(nearest(z, r) ** 2)), TRANSCENDENTAL),
    (np.sqrt, lambda z, r: r / (np.sqrt(z) + np.sqrt(z - r)), 1),
]
RULES |= {f: partial(_applied, f, spread, operations) for f, spread, operations in _FUNCTIONS}
RULES |= {
    np.add: _add,
    np.subtract: lambda a, b: _add(a, _negative(b)),
    np.negative: _negative,
    np.multiply: _multiply,
    np.divide: _divide,
    np.einsum: _einsum,
    np.greater: greater,
    np.where: where,
    np.isfinite: lambda z: np.isfinite(z.value) & np.isfinite(z.radius),
}
