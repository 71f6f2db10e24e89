"""The networks of the benchmarks as JAX functions: nothing but JAX and NumPy.

The layers and parameters of networks.py, in the order of its ``parameters()``; images are
(n, height, width, channels) and kernels (height, width, in, out), which XLA takes as they are.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from math import prod, sqrt
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np


@dataclass
class Params:
    """Hands out parameters in order. The first time it draws them: shapes are written once."""

    values: list[Any]
    rng: np.random.Generator | None = None
    convolve: Callable[..., Any] = jax.lax.conv_general_dilated
    given: int = field(default=0, init=False)

    def __call__(self, *shape: int, scale: float, mean: float = 0.0) -> Any:
        """The next one."""
        if self.rng is not None:
            self.values.append(np.float32(mean + scale * self.rng.normal(size=shape)))
        self.given += 1
        return self.values[self.given - 1]

    def weight(self, *shape: int) -> Any:
        """(…, in, out), of variance 1 / fan in."""
        return self(*shape, scale=1 / sqrt(prod(shape[:-1])))


def linear(p: Params, x: Any, o: int) -> Any:
    """x W + b."""
    return x @ p.weight(x.shape[-1], o) + p(o, scale=0.0)


def conv(p: Params, x: Any, o: int, size: int, stride: int = 1, padding: int = 0) -> Any:
    """Convolve without a bias."""
    kernel = p.weight(size, size, x.shape[-1], o)
    pads, layout = [(padding, padding)] * 2, ("NHWC", "HWIO", "NHWC")
    return p.convolve(x, kernel, (stride, stride), pads, dimension_numbers=layout)


def max_pool(x: Any) -> Any:
    """Pool 2 × 2 by a reshape: with `reduce_window` a plain step takes half as long again."""
    n, height, width, c = x.shape
    return x.reshape(n, height // 2, 2, width // 2, 2, c).max((2, 4))


def norm(p: Params, x: Any, axes: Any) -> Any:
    """Normalise over these axes, scale and shift; batch norm keeps no running statistics here."""
    mean, variance = x.mean(axes, keepdims=True), x.var(axes, keepdims=True)
    scale = p(x.shape[-1], scale=0.0, mean=1.0)
    return (x - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + p(x.shape[-1], scale=0.0)


batch_norm = partial(norm, axes=(0, 1, 2))
layer_norm = partial(norm, axes=-1)


def residual(p: Params, x: Any, o: int) -> Any:
    """x + conv-norm-ReLU-conv-norm, halving the image where channels grow."""
    grows = x.shape[-1] != o
    y = jax.nn.relu(batch_norm(p, conv(p, x, o, 3, 1 + grows, 1)))
    y = batch_norm(p, conv(p, y, o, 3, 1, 1))
    return jax.nn.relu(y + (conv(p, x, o, 1, 2) if grows else x))


def encoder_layer(p: Params, x: Any, heads: int) -> Any:
    """Attention, then two linear layers, each with a residual and a norm after it."""
    n, tokens, width = x.shape
    qkv = linear(p, x, 3 * width).reshape(n, tokens, 3, heads, width // heads)
    q, k, v = (qkv[:, :, part] for part in range(3))
    attended = jax.nn.dot_product_attention(q, k, v).reshape(x.shape)
    attended = linear(p, attended, width)
    # Taken before they are used: torch counts the norms last.
    hidden = (p.weight(width, 2 * width), p(2 * width, scale=0.0))
    out = (p.weight(2 * width, width), p(width, scale=0.0))
    x = layer_norm(p, x + attended)
    y = jax.nn.gelu(x @ hidden[0] + hidden[1], approximate=False) @ out[0] + out[1]
    return layer_norm(p, x + y)


def mlp(p: Params, x: Any, m: int) -> Any:
    """784-1024-1024-m."""
    for _ in range(2):
        x = jax.nn.relu(linear(p, x, 1024))
    return linear(p, x, m)


def lenet(p: Params, x: Any, m: int) -> Any:
    """Build the paper's LeNet: 20 and 50 filters of 5 × 5, 500 units."""
    for filters in (20, 50):
        x = max_pool(conv(p, x, filters, 5) + p(filters, scale=0.0))
    return linear(p, jax.nn.relu(linear(p, x.reshape(len(x), -1), 500)), m)


def residual_net(p: Params, x: Any, m: int) -> Any:
    """Three groups of three blocks, 16 to 64 channels, batch norm."""
    x = jax.nn.relu(batch_norm(p, conv(p, x, 16, 3, 1, 1)))
    for channels in (16, 32, 64):
        for _ in range(3):
            x = residual(p, x, channels)
    return linear(p, x.mean((1, 2)), m)


def vision_transformer(p: Params, x: Any, m: int, width: int = 64) -> Any:
    """Patches of 4 × 4, four layers, mean over tokens."""
    places = p(64, width, scale=0.02)
    x = conv(p, x, width, 4, 4) + p(width, scale=0.0)
    x = x.reshape(len(x), -1, width) + places
    for _ in range(4):
        x = encoder_layer(p, x, 4)
    return linear(p, x.mean(1), m)


@dataclass(frozen=True)
class Subject:
    """A network, the shape of an example, and the batch size."""

    network: Callable[[Params, Any, int], Any]
    shape: tuple[int, ...]
    batch: int

    def make(self, m: int, seed: int = 0) -> tuple[Callable[..., Any], list[Any]]:
        """``f(params, x)``, which takes ``convolve=`` too, and params from a NumPy seed."""
        params: list[Any] = []
        drawing = Params(params, np.random.default_rng(seed))
        jax.eval_shape(lambda x: self.network(drawing, x, m), jnp.zeros((1, *self.shape)))
        return lambda params, x, **own: self.network(Params(params, **own), x, m), params


SUBJECTS = {
    "MLP": Subject(mlp, (784,), 256),
    "LeNet": Subject(lenet, (28, 28, 1), 50),
    "residual net": Subject(residual_net, (32, 32, 3), 64),
    "vision transformer": Subject(vision_transformer, (32, 32, 3), 64),
}
