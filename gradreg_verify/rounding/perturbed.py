"""Monte-Carlo arithmetic: every operation has a random rounding error.

Operands and result of every operation are multiplied by 1 + uξ, ξ uniform on [−1, 1]. Perturbed
operands, beside the result, are what makes cancellation show: a difference of nearly equal numbers
is then off by u of *them*. Real and imaginary part are perturbed independently, so that a complex
step reads a derivative with rounding errors of its own.
(Parker, "Monte Carlo Arithmetic", 1997: random rounding and precision bounding.)
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradreg_ref.typing import Array, Rng
from gradreg_verify.rounding.duck import Duck


class Perturbed(Duck):
    """Numbers of a computation with random rounding errors.

    Parameters
    ----------
    value : array
        Real or complex.
    u : float
        Unit roundoff.
    rng : numpy.random.Generator
        Where ξ comes from.
    """

    def __init__(self, value: Any, u: float, rng: Rng) -> None:
        self.value = np.asarray(value)
        self.u = u
        self.rng = rng

    def perturbed(self, a: Array) -> Array:
        """a (1 + uξ), real and imaginary part apart."""
        if np.iscomplexobj(a):
            return self.perturbed(a.real) + 1j * self.perturbed(a.imag)
        return a * (1 + self.u * self.rng.uniform(-1, 1, a.shape))

    def moved(self, move: Callable[[Array], Array]) -> "Perturbed":
        """Move the entries without rounding them."""
        return type(self)(move(self.value), self.u, self.rng)

    def computed(self, operation: Callable[..., Any], *inputs: Any) -> Any:
        """The operation on perturbed operands, perturbed; comparisons and choices are exact."""
        if operation is np.where:
            return self.moved(lambda _: np.where(*(getattr(a, "value", a) for a in inputs)))
        operands = (self.perturbed(a.value) if isinstance(a, Perturbed) else a for a in inputs)
        result = operation(*operands)
        return result if result.dtype.kind == "b" else self.moved(lambda _: self.perturbed(result))

    def sum(self, axis: int | None = None, keepdims: bool = False) -> "Perturbed":
        """Sum of perturbed entries, one after the other: every partial sum is perturbed."""

        def added(a: Array) -> Array:
            a = self.perturbed(a)
            partial = np.cumsum(a, axis)
            errors = np.asarray(self.perturbed(partial) - partial).sum(0 if axis is None else axis)
            total = a.sum(axis, keepdims=keepdims)
            return total + errors.reshape(total.shape)

        return self.moved(added)

    def max(self, axis: int | None = None, keepdims: bool = False) -> "Perturbed":
        """The maximum, exact."""
        return self.moved(lambda a: a.max(axis=axis, keepdims=keepdims))

    def argmax(self, axis: int) -> Array:
        """Index of the maximum."""
        return self.value.argmax(axis=axis)
