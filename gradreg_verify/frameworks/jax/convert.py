"""Networks of the reference as JAX functions."""

from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from gradreg_jax.products import Model

from gradreg_ref import networks as ref
from gradreg_ref.networks import Network
from gradreg_ref.networks.network import trained

_ACTIVATIONS: dict[str, Callable[[Any], Any]] = {
    "relu": jax.nn.relu,
    "tanh": jnp.tanh,
    "softplus": jax.nn.softplus,
    "gelu": lambda z: jax.nn.gelu(z, approximate=False),
    "silu": jax.nn.silu,
    "square": lambda z: z * z,
}


def to_jax(network: Network, dtype: Any = jnp.float64) -> tuple[Model, list[Any]]:
    """The network as ``f(params, x)``, and its parameters in the order of ``parameters()``.

    Parameters
    ----------
    network : gradreg_ref.networks.Network
        Layers are read when f is called.
    dtype : dtype
        Of the parameters; float64 needs ``jax_enable_x64``.

    Raises
    ------
    TypeError
        A layer this backend does not know.
    """
    if not isinstance(network, Network):
        raise TypeError(f"expected a Network of gradreg_ref, got {type(network).__name__}")
    params = [jnp.asarray(np.array(a), dtype) for a in trained(network.layers)]

    def f(params: list[Any], x: Any) -> Any:
        given = iter(params)
        x = _apply(network.layers, given, x)
        return x.reshape(x.shape[0], -1)

    return f, params


def _apply(layers: tuple[Any, ...], params: Iterator[Any], x: Any) -> Any:
    """Layers in a row, taking their parameters in order."""
    for layer in layers:
        x = _apply_one(layer, params, x)
    return x


def _apply_one(layer: Any, params: Iterator[Any], x: Any) -> Any:
    """Apply one layer."""
    match layer:
        case ref.Linear(_, b):
            y = x @ next(params).T
            return y if b is None else y + next(params)
        case ref.Conv2d(_, b, stride, padding):
            pads = [(padding, padding)] * 2
            y = jax.lax.conv_general_dilated(x, next(params), (stride, stride), pads)
            return y if b is None else y + next(params)[:, None, None]
        case ref.BatchNorm(_, _, mean, var, eps):
            c = (slice(None),) + (None,) * (x.ndim - 2)
            scale = next(params) / jnp.sqrt(jnp.asarray(var, x.dtype) + eps)
            return scale[c] * (x - jnp.asarray(mean, x.dtype)[c]) + next(params)[c]
        case ref.Activation(name):
            return _ACTIVATIONS[name](x)
        case ref.AvgPool2d(size, stride):
            window, strides = (1, 1, size, size), (1, 1, stride, stride)
            return jax.lax.reduce_window(x, 0.0, jax.lax.add, window, strides, "VALID") / size**2
        case ref.MaxPool2d(size, stride):
            stacked = _windows(x, size, stride)
            first = jnp.argmax(stacked, axis=-1, keepdims=True)
            return jnp.take_along_axis(stacked, first, axis=-1)[..., 0]
        case ref.Flatten():
            return x.reshape(x.shape[0], -1)
        case ref.Dropout(mask, keep):
            return x * jnp.asarray(mask / keep, x.dtype)
        case ref.Residual(body):
            return x + _apply(body, params, x)
    raise TypeError(f"expected a layer of gradreg_ref.networks, got {type(layer).__name__}")


def _windows(x: Any, size: int, stride: int) -> Any:
    """Entries of every window, (n, c, s, t, size²): of equal ones the first is the maximum's."""
    height, width = (length - size + 1 for length in x.shape[2:])
    offsets = ((a, b) for a in range(size) for b in range(size))
    entries = [x[:, :, a : a + height : stride, b : b + width : stride] for a, b in offsets]
    return jnp.stack(entries, axis=-1)
