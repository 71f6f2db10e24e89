"""A network: a sequence of layers, its logits, and its full Jacobian by the chain rule."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Protocol

import numpy as np

from gradreg_ref import checks
from gradreg_ref.networks.linear import diagonal
from gradreg_ref.typing import Array


class Layer(Protocol):
    """Interface of a layer: a map of each example with its full derivative."""

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the trained fields, in torch's order."""
        ...

    def forward(self, x: Array) -> Array:
        """Value (n, …)."""
        ...

    def derivative(self, x: Array) -> Array:
        """D[n, o, i], outputs and inputs flattened."""
        ...


def _value(layers: tuple[Layer, ...], x: Array) -> Array:
    """Compute the value of a sequence of layers."""
    for layer in layers:
        x = layer.forward(x)
    return x


def _chain(layers: tuple[Layer, ...], x: Array) -> tuple[Array, Array]:
    """Compute value and Jacobian of a sequence of layers: J ← D J, from J = I."""
    J = diagonal(np.ones(1), x)
    for layer in layers:
        D = layer.derivative(x)
        J = np.einsum("nok,nki->noi", D, J)
        x = layer.forward(x)
    return x, J


@dataclass(frozen=True)
class Residual:
    """x ↦ x + f(x), f the body; derivative I + D_f."""

    body: tuple[Layer, ...]
    parameter_names = ("body",)

    def forward(self, x: Array) -> Array:
        """Value, of the shape of x."""
        y = _value(self.body, x)
        if y.shape != x.shape:
            raise ValueError(f"expected the body to keep the shape {x.shape}, got {y.shape}")
        return x + y

    def derivative(self, x: Array) -> Array:
        """D = I + D_f."""
        _, D = _chain(self.body, x)
        return D + np.eye(D.shape[2])


@dataclass(frozen=True, eq=False)
class Network:
    """Sequence of layers, from inputs (n, …) to logits (n, k).

    Parameters
    ----------
    layers : tuple of layers
        The last one's output is flattened to (n, k).
    """

    layers: tuple[Layer, ...]

    def __post_init__(self) -> None:
        _check_arrays(self.layers)

    def forward(self, x: Array) -> Array:
        """Logits (n, k)."""
        z = _value(self.layers, _batch(x))
        return z.reshape(len(z), -1)

    def jacobian(self, x: Array) -> Array:
        """J[n, k, i] = ∂z[n, k]/∂x[n, i], inputs flattened."""
        _, J = _chain(self.layers, _batch(x))
        return J

    def parameters(self) -> Array:
        """Return θ: every trained array, flattened and joined in torch's order."""
        return np.concatenate([np.ravel(a) for a in trained(self.layers)] or [np.zeros(0)])

    def with_parameters(self, theta: Array) -> "Network":
        """Return the same network with parameters θ, which may be complex."""
        ends = np.cumsum([0, *(a.size for a in trained(self.layers))])
        if theta.shape != (ends[-1],):
            raise ValueError(f"expected theta with shape ({ends[-1]},), got {theta.shape}")
        parts = (theta[start:end] for start, end in pairwise(ends))
        return Network(_map_parameters(self.layers, lambda a: next(parts).reshape(a.shape)))

    def weights(self) -> list[Array]:
        """Return the arrays of weight decay: weight matrices and filters; no biases, no scales."""
        return [a for a in trained(self.layers) if a.ndim >= 2]


def _check_arrays(layers: tuple[Layer, ...]) -> None:
    """Check that layers are layers, and that their arrays are unmasked arrays of numbers."""
    if not isinstance(layers, tuple | list):
        raise TypeError(f"expected layers as a tuple, got {layers!r:.60}")
    for layer in layers:
        if not hasattr(layer, "derivative"):
            raise TypeError(f"expected a layer of gradreg_ref.networks, got {layer!r:.60}")
        _check_arrays(getattr(layer, "body", ()))
        for name, value in getattr(layer, "__dict__", {}).items():
            if isinstance(value, np.ndarray):
                checks.as_array(f"{type(layer).__name__}.{name}", value)


def trained(layers: tuple[Layer, ...]) -> list[Array]:
    """Return every trained array, in order."""
    found: list[Array] = []
    for layer in layers:
        if isinstance(layer, Residual):
            found += trained(layer.body)
        else:
            found += [getattr(layer, name) for name in layer.parameter_names]
    return [a for a in found if a is not None]


def _map_parameters(layers: tuple[Layer, ...], f: Callable[[Array], Array]) -> tuple[Layer, ...]:
    """Return the layers with every trained array replaced by f(array), in order."""

    def mapped(layer: Layer) -> Layer:
        if isinstance(layer, Residual):
            return Residual(_map_parameters(layer.body, f))
        fields = {name: getattr(layer, name) for name in layer.parameter_names}
        new = {name: f(a) for name, a in fields.items() if a is not None}
        return replace(layer, **new)  # type: ignore[type-var]  # every layer is a dataclass

    return tuple(mapped(layer) for layer in layers)


def _batch(x: Array) -> Array:
    """Check inputs (n, …): at least one example, floating, finite."""
    x = checks.floating("x", x)
    if x.ndim < 2 or 0 in x.shape:
        raise ValueError(
            f"expected x with shape (n, ...) and n >= 1, got {x.shape}; one example is x[None]"
        )
    return x
