"""A convolution with second derivatives that XLA computes fast on a CPU.

conv(x, W), its pullbacks dx(g, W) and dW(x, g) are bilinear, and the derivative of each in either
argument is one of the other two. With these rules JAX itself differentiates no convolution: its own
derivative of the backward pass is slow.
"""

from collections.abc import Sequence
from functools import partial
from typing import Any, NamedTuple

import jax


class _Settings(NamedTuple):
    """The constants of a convolution: its options, and the types of x and W."""

    options: tuple[tuple[str, Any], ...]
    x: Any
    W: Any


def conv(
    x: Any,
    W: Any,
    window_strides: Sequence[int],
    padding: str | Sequence[tuple[int, int]],
    lhs_dilation: Sequence[int] | None = None,
    rhs_dilation: Sequence[int] | None = None,
    dimension_numbers: Any = None,
    feature_group_count: int = 1,
    batch_group_count: int = 1,
    precision: Any = None,
) -> Any:
    """Compute `jax.lax.conv_general_dilated(x, W, …)`, with cheap second derivatives on a CPU.

    Parameters
    ----------
    x, W : array
        Images and kernels, of one floating dtype.
    window_strides, padding, lhs_dilation, rhs_dilation, dimension_numbers, feature_group_count, \
batch_group_count, precision
        The arguments of `jax.lax.conv_general_dilated`, in the same order.

    Returns
    -------
    array
        The numbers that `jax.lax.conv_general_dilated` returns.

    Raises
    ------
    TypeError
        In forward mode, for which this function has no rule. Use `jax.lax.conv_general_dilated`.
    """
    options = {
        "window_strides": tuple(window_strides),
        "padding": padding if isinstance(padding, str) else tuple(map(tuple, padding)),
        "lhs_dilation": None if lhs_dilation is None else tuple(lhs_dilation),
        "rhs_dilation": None if rhs_dilation is None else tuple(rhs_dilation),
        "dimension_numbers": jax.lax.conv_dimension_numbers(x.shape, W.shape, dimension_numbers),
        "feature_group_count": feature_group_count,
        "batch_group_count": batch_group_count,
        "precision": precision,
    }
    settings = _Settings(tuple(options.items()), jax.typeof(x), jax.typeof(W))
    return _conv(settings, x, W)


def _plain(settings: _Settings, x: Any, W: Any) -> Any:
    return jax.lax.conv_general_dilated(x, W, **dict(settings.options))


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _conv(settings: _Settings, x: Any, W: Any) -> Any:
    """conv(x, W)."""
    return _plain(settings, x, W)


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _in_x(settings: _Settings, g: Any, W: Any) -> Any:
    """Compute dx(g, W), the cotangent of x."""
    (got,) = jax.linear_transpose(lambda x: _plain(settings, x, W), settings.x)(g)
    return got


@partial(jax.custom_vjp, nondiff_argnums=(0,))
def _in_W(settings: _Settings, x: Any, g: Any) -> Any:
    """Compute dW(x, g), the cotangent of W."""
    (got,) = jax.linear_transpose(lambda W: _plain(settings, x, W), settings.W)(g)
    return got


def _rules(function: Any, first: Any, second: Any) -> None:
    """Attach the backward rules of a bilinear function of (a, b): first(u, a, b) and second."""

    def forward(settings: _Settings, a: Any, b: Any) -> Any:
        return function(settings, a, b), (a, b)

    def backward(settings: _Settings, kept: Any, u: Any) -> Any:
        return first(settings, u, *kept), second(settings, u, *kept)

    function.defvjp(forward, backward)


_rules(_conv, lambda s, u, _, W: _in_x(s, u, W), lambda s, u, x, _: _in_W(s, x, u))
_rules(_in_x, lambda s, u, _, W: _conv(s, u, W), lambda s, u, g, _: _in_W(s, u, g))
_rules(_in_W, lambda s, u, _, g: _in_x(s, g, u), lambda s, u, x, _: _conv(s, x, u))
