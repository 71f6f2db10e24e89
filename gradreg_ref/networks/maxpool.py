"""Max pooling: a linear map that depends on the input."""

from dataclasses import dataclass
from math import prod
from typing import ClassVar

import numpy as np

from gradreg_ref.networks.linear import placement
from gradreg_ref.typing import Array


@dataclass(frozen=True)
class MaxPool2d:
    """Maximum over windows of `size` × `size`, moved by `stride`; no padding.

    Of equal entries the first wins, in value and derivative.
    """

    size: int
    stride: int
    parameter_names: ClassVar = ()

    def windows(self, height: int, width: int) -> Array:
        """P[w, p, i] = 1 where entry w of window p is input i of its channel."""
        rows = placement(height, self.size, self.stride, 0)
        columns = placement(width, self.size, self.stride, 0)
        P = np.einsum("asu,btv->abstuv", rows, columns)
        return P.reshape(self.size**2, -1, height * width)

    def selection(self, x: Array) -> Array:
        """T[n, c, p, i] = 1 where input i is the maximum of window p."""
        P = self.windows(*x.shape[2:])
        entries = np.einsum("wpi,nci->ncpw", P, x.real.reshape(*x.shape[:2], -1))
        first = np.eye(self.size**2)[entries.argmax(axis=3)]
        return np.einsum("ncpw,wpi->ncpi", first, P)

    def forward(self, x: Array) -> Array:
        """Value (n, c, s, t) at x (n, c, u, v)."""
        y = np.einsum("ncpi,nci->ncp", self.selection(x), x.reshape(*x.shape[:2], -1))
        s, t = ((length - self.size) // self.stride + 1 for length in x.shape[2:])
        return y.reshape(*x.shape[:2], s, t)

    def derivative(self, x: Array) -> Array:
        """D: the selection, channel by channel."""
        T = np.einsum("ncpi,cd->ncpdi", self.selection(x), np.eye(x.shape[1]))
        return T.reshape(x.shape[0], -1, prod(x.shape[1:]))
