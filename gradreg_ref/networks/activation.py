"""Elementwise layers: a table of values and derivatives.

Complex-safe: a comparison reads the real part only. Kinks: the derivative of ReLU at 0 is 0.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from scipy.special import erf

from gradreg_ref.networks.linear import diagonal
from gradreg_ref.typing import Array


def _sigmoid(z: Array) -> Array:
    """1 / (1 + exp(−z))."""
    return 1 / (1 + np.exp(-z))


def _normal_cdf(z: Array) -> Array:
    """Φ(z) = (1 + erf(z/√2)) / 2."""
    return (1 + erf(z / np.sqrt(2))) / 2


def _normal_pdf(z: Array) -> Array:
    """φ(z) = exp(−z²/2) / √(2π)."""
    return np.exp(-z * z / 2) / np.sqrt(2 * np.pi)


def _softplus(z: Array) -> Array:
    """log(1 + exp(z)), written as max(z, 0) + log(1 + exp(−|z|)) so that nothing overflows."""
    positive = z.real > 0
    return np.where(positive, z, 0) + np.log(1 + np.exp(np.where(positive, -z, z)))


TABLE: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    "relu": (lambda z: np.where(z.real > 0, z, 0), lambda z: np.where(z.real > 0, 1.0, 0.0)),
    "tanh": (np.tanh, lambda z: 1 - np.tanh(z) * np.tanh(z)),
    "softplus": (_softplus, _sigmoid),
    "gelu": (lambda z: z * _normal_cdf(z), lambda z: _normal_cdf(z) + z * _normal_pdf(z)),
    "silu": (
        lambda z: z * _sigmoid(z),
        lambda z: _sigmoid(z) * (1 + z * (1 - _sigmoid(z))),
    ),
    "square": (lambda z: z * z, lambda z: 2 * z),
}


@dataclass(frozen=True)
class Activation:
    """x ↦ φ(x), elementwise; `name` is a key of `TABLE`."""

    name: str
    parameter_names: ClassVar = ()

    def __post_init__(self) -> None:
        if self.name not in TABLE:
            raise ValueError(f"expected an activation among {', '.join(TABLE)}; got {self.name!r}")

    def forward(self, x: Array) -> Array:
        """φ(x)."""
        return TABLE[self.name][0](x)

    def derivative(self, x: Array) -> Array:
        """D = diag(φ′(x))."""
        return diagonal(TABLE[self.name][1](x), x)
