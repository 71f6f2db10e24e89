"""A running error bound: |fl(v) − v| <= radius for every number v of a computation.

A floating-point operation returns its exact result times 1 + δ with |δ| <= u. On operands that were
computed themselves it is thus off by what their radii make of it, and by (1 + u)ᵗ − 1 of the most
the result can be, where t counts roundings: t = k for a sum of k products, in *any* order.

A backend also multiplies matrices in another order, Jᵀ(D R) for (Jᵀ D) R. Products and sums
therefore carry their `magnitude`, the sum of the absolute values of all their terms: in every order
a term passes each sum once, so this bounds the roundings in all of them. A function of a number, or
its square, is computed from that one number: there the magnitude starts anew from |v|.

Not covered: overflow and underflow, and algorithms that are no sums of products (Winograd, FFT).
(Higham, "Accuracy and Stability of Numerical Algorithms", 2002, sections 3.1 and 3.3.)
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradreg_ref.typing import Array
from gradreg_verify.rounding.duck import Duck, unknown

# Operation to its rule; `gradreg_verify.rounding.rules` fills it.
RULES: dict[Callable[..., Any], Callable[..., Any]] = {}


class Undecided(ValueError):
    """Rounding decides a maximum, a sign or the range, so no bound on the error exists."""


class Bounded(Duck):
    """Numbers, and how far a low-precision computation of them can be off.

    Parameters
    ----------
    value : array
        v, in float64.
    radius : array
        >= |fl(v) − v|. Of a comparison: 1 where rounding decides it, else 0.
    u : float
        Unit roundoff of the computation that is bounded.
    magnitude : array, optional
        Σ |terms of v| >= |v|; by default |v|, for a v of one term.
    """

    def __init__(self, value: Any, radius: Any, u: float, magnitude: Any = None) -> None:
        self.value = np.asarray(value)
        self.radius = np.asarray(radius)
        self.magnitude = np.abs(self.value) if magnitude is None else np.asarray(magnitude)
        self.u = u

    @classmethod
    def stored(cls, a: Any, u: float) -> "Bounded":
        """Numbers as the format stores them: off by u|a|, or by nothing where they fit."""
        a = np.asarray(a)
        digits = np.frexp(a)[0] / u
        return cls(a, np.where(digits == np.rint(digits), 0.0, u * np.abs(a)), u)

    @property
    def reach(self) -> Array:
        """The most the computed terms can add up to."""
        return self.magnitude + self.radius

    def rounded(self, operations: int) -> "Bounded":
        """After so many roundings: radius + ((1 + u)ᵗ − 1)(magnitude + radius)."""
        growth = np.expm1(operations * np.log1p(self.u))
        return Bounded(self.value, self.radius + growth * self.reach, self.u, self.magnitude)

    def moved(self, move: Callable[[Array], Array]) -> "Bounded":
        """Move the entries without rounding them."""
        return Bounded(move(self.value), move(self.radius), self.u, move(self.magnitude))

    def computed(self, operation: Callable[..., Any], *inputs: Any) -> Any:
        """Compute by the operation's rule; plain numbers are stored in the format first."""
        if operation not in RULES:
            raise unknown(operation.__name__)
        return RULES[operation](
            *(a if isinstance(a, Bounded | str) else Bounded.stored(a, self.u) for a in inputs)
        )

    def sum(self, axis: int | None = None, keepdims: bool = False) -> "Bounded":
        """k − 1 additions, in any order."""
        total = self.moved(lambda a: a.sum(axis=axis, keepdims=keepdims))
        return total.rounded(self.size // total.size - 1)

    def max(self, axis: int | None = None, keepdims: bool = False) -> "Bounded":
        """The maximum as a *shift*, which is exact: softmax is the same at any shift."""
        largest = self.value.max(axis=axis, keepdims=keepdims)
        return Bounded(largest, np.zeros_like(largest), self.u)

    def argmax(self, axis: int) -> Array:
        """Index of the maximum, if rounding cannot change it; of equal exact entries the first."""
        index = self.value.argmax(axis=axis)
        first = np.expand_dims(index, axis)
        best, radius = (np.take_along_axis(a, first, axis) for a in (self.value, self.radius))
        closer = best - self.value < radius + self.radius
        np.put_along_axis(closer, first, False, axis)
        if closer.any():
            raise Undecided(
                f"expected a maximum that rounding to u = {self.u:g} cannot change, got "
                f"{int(closer.sum())} entries too close to it; take other inputs or a finer format"
            )
        return index
