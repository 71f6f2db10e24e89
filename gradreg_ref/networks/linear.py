"""Layers that are linear maps: value T x + b, local Jacobian T.

A local Jacobian is written out in full, D[n, o, i]: o output and i input coordinate, flattened.
"""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from gradreg_ref.typing import Array


@dataclass(frozen=True)
class Linear:
    """x ↦ W x + b; weight (o, i), bias (o,) or None."""

    weight: Array
    bias: Array | None = None
    parameter_names: ClassVar = ("weight", "bias")

    def forward(self, x: Array) -> Array:
        """Value (n, o)."""
        _expect("Linear", self.weight.shape[1], x)
        y = np.einsum("oi,ni->no", self.weight, x)
        return y if self.bias is None else y + self.bias

    def derivative(self, x: Array) -> Array:
        """D[n, o, i] = W[o, i]."""
        return np.broadcast_to(self.weight[None], (x.shape[0], *self.weight.shape))


@dataclass(frozen=True)
class Conv2d:
    """Cross-correlation with zero padding; weight (o, c, a, b), bias (o,) or None.

    y[o, s, t] = Σ_cab W[o, c, a, b] · x[c, stride·s + a − padding, stride·t + b − padding]
    """

    weight: Array
    bias: Array | None = None
    stride: int = 1
    padding: int = 0
    parameter_names: ClassVar = ("weight", "bias")

    def matrix(self, height: int, width: int) -> Array:
        """The linear map itself, T[o, s, t, c, u, v]."""
        rows = placement(height, self.weight.shape[2], self.stride, self.padding)
        columns = placement(width, self.weight.shape[3], self.stride, self.padding)
        place = np.einsum("asu,btv->abstuv", rows, columns)
        return np.einsum("ocab,abstuv->ostcuv", self.weight, place)

    def forward(self, x: Array) -> Array:
        """Value (n, o, s, t) at x (n, c, u, v)."""
        _expect("Conv2d", self.weight.shape[1], x)
        y = np.einsum("ostcuv,ncuv->nost", self.matrix(*x.shape[2:]), x)
        return y if self.bias is None else y + self.bias[:, None, None]

    def derivative(self, x: Array) -> Array:
        """D = T with outputs and inputs flattened."""
        return _repeat_flat(self.matrix(*x.shape[2:]), x.shape[0])


@dataclass(frozen=True)
class AvgPool2d:
    """Mean over windows of `size` × `size`, moved by `stride`; no padding."""

    size: int
    stride: int
    parameter_names: ClassVar = ()

    def matrix(self, channels: int, height: int, width: int) -> Array:
        """T[c, s, t, d, u, v]: a convolution with the constant 1/size², channel by channel."""
        mean = np.eye(channels)[:, :, None, None] * np.ones((self.size, self.size)) / self.size**2
        return Conv2d(mean, stride=self.stride).matrix(height, width)

    def forward(self, x: Array) -> Array:
        """Value (n, c, s, t) at x (n, c, u, v)."""
        return np.einsum("cstduv,nduv->ncst", self.matrix(*x.shape[1:]), x)

    def derivative(self, x: Array) -> Array:
        """D = T, flattened."""
        return _repeat_flat(self.matrix(*x.shape[1:]), x.shape[0])


@dataclass(frozen=True)
class BatchNorm:
    """x ↦ weight · (x − mean) / √(var + eps) + bias per channel, with *fixed* statistics.

    This is batch norm in evaluation mode: a function of every example alone.
    """

    weight: Array
    bias: Array
    mean: Array
    var: Array
    eps: float = 1e-5
    parameter_names: ClassVar = ("weight", "bias")

    def forward(self, x: Array) -> Array:
        """Value, of the shape of x (n, c, …)."""
        _expect("BatchNorm", self.weight.shape[0], x)
        mean, bias = _per_channel(self.mean, x), _per_channel(self.bias, x)
        return self.scale(x) * (x - mean) + bias

    def derivative(self, x: Array) -> Array:
        """D = diag(scale of the coordinate's channel)."""
        return diagonal(self.scale(x), x)

    def scale(self, x: Array) -> Array:
        """Weight / √(var + eps), along the channels of x."""
        return _per_channel(self.weight / np.sqrt(self.var + self.eps), x)


@dataclass(frozen=True)
class Dropout:
    """x ↦ mask · x / keep with a *given* mask of 0 and 1, of the shape of one example."""

    mask: Array
    keep: float
    parameter_names: ClassVar = ()

    def forward(self, x: Array) -> Array:
        """Value, of the shape of x."""
        return x * (self.mask / self.keep)

    def derivative(self, x: Array) -> Array:
        """D = diag(mask / keep)."""
        return diagonal(self.mask / self.keep, x)


@dataclass(frozen=True)
class Flatten:
    """Flatten all axes but the batch."""

    parameter_names: ClassVar = ()

    def forward(self, x: Array) -> Array:
        """Value (n, i)."""
        return x.reshape(x.shape[0], -1)

    def derivative(self, x: Array) -> Array:
        """D = I."""
        return diagonal(np.ones(1), x)


def _expect(layer: str, channels: int, x: Array) -> None:
    """Check the number of channels; einsum would silently repeat a single channel."""
    if x.shape[1] != channels:
        raise ValueError(
            f"expected {layer} inputs with shape (n, {channels}, ...), got {x.shape}; "
            "give the layer weights of that width"
        )


def placement(length: int, size: int, stride: int, padding: int) -> Array:
    """P[a, s, u] = 1 where tap a of output s reads input u = stride·s + a − padding."""
    outputs = (length + 2 * padding - size) // stride + 1
    if outputs < 1:
        raise ValueError(f"expected an input of length >= {size - 2 * padding}, got {length}")
    a, s, u = np.ogrid[:size, :outputs, :length]
    return (u == stride * s + a - padding).astype(float)


def _per_channel(a: Array, x: Array) -> Array:
    """Give one number a channel (c,) the axes of an example (c, …)."""
    return a[(slice(None),) + (None,) * (x.ndim - 2)]


def diagonal(d: Array, x: Array) -> Array:
    """Build diag(d) for every example of x, d one number or one for each coordinate."""
    flat = np.broadcast_to(d, x.shape).reshape(len(x), -1)
    return flat[:, :, None] * np.eye(flat.shape[1])


def _repeat_flat(T: Array, n: int) -> Array:
    """Flatten a map T[o…, i…] and repeat it over the batch: D[n, o, i]."""
    half = T.ndim // 2
    flat = T.reshape(1, prod(T.shape[:half]), prod(T.shape[half:]))
    return np.broadcast_to(flat, (n, *flat.shape[1:]))
