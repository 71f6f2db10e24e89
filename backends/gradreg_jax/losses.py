"""L and ∂L/∂z of one example, never detached; the formulas of `gradreg_ref.losses`."""

from typing import Any

import jax
import jax.numpy as jnp

from gradreg_jax import arrays, checks
from gradreg_jax.products import Linearised, at_least_single


def _cross_entropy(at: Linearised, y: Any) -> Any:
    """L = −Σ_k y_k log p_k, shape (n,)."""
    z = checks.rows_of_logits(at.output)
    log_p = jax.nn.log_softmax(at_least_single(z), axis=1)
    y = _target_probabilities(y, z).astype(log_p.dtype)
    # A masked class has log p = −∞, and 0 · ∞ is no number, also in the derivative.
    return -(y * jnp.where(y == 0, 0, log_p)).sum(axis=1)


def _cross_entropy_gradient(at: Linearised, y: Any) -> Any:
    """∂L/∂z = p Σ_k y_k − y, which is p − y where y sums to one; shape (n, k)."""
    z = checks.rows_of_logits(at.output)
    p = jax.nn.softmax(at_least_single(z), axis=1)
    y = _target_probabilities(y, z).astype(p.dtype)
    return p * y.sum(axis=1, keepdims=True) - y


def _target_probabilities(y: Any, z: Any) -> Any:
    """Convert labels (n,) to onehot rows (n, m); check that rows (n, m) are probabilities.

    Where values cannot be read, a row that is none is NaN.
    """
    if y is None or arrays.array(y).ndim != 2:
        return onehot_rows(y, *z.shape)
    y = arrays.floating("y", y)
    if y.shape != z.shape:
        raise ValueError(f"expected y with shape ({z.shape[0]},) or {z.shape}, got {y.shape}")
    if not arrays.concrete(y):
        return jnp.where(_improper(y), jnp.nan, y)
    with arrays.values():
        if _improper(y).any():
            raise ValueError("expected rows of y to be probabilities (>= 0, summing to 1)")
    return y


def _improper(y: Any) -> Any:
    """Return which rows are not probabilities, (n, 1)."""
    return (y < 0).any(axis=1, keepdims=True) | (abs(y.sum(axis=1, keepdims=True) - 1) > 1e-2)


def onehot_rows(y: Any, n: int, m: int) -> Any:
    """Return e_y per example, (n, m).

    Where values cannot be read, a label outside [0, m) has no 1 in its row, which becomes NaN.
    """
    e_y = jax.nn.one_hot(checks.labels(y, n, m), m)
    return jnp.where(e_y.any(axis=1, keepdims=True), e_y, jnp.nan)


def _mean_squared_error_gradient(at: Linearised, y: Any) -> Any:
    """∂L/∂z = 2 (z − y) / m of the mean over outputs, without ½; shape (n, k)."""
    return 2 * _residuals(at, y) / at.logits.shape[1]


def _mean_squared_error(at: Linearised, y: Any) -> Any:
    """L = Σ_k (z_k − y_k)² / m, shape (n,)."""
    return (at_least_single(_residuals(at, y)) ** 2).mean(axis=1)


def _residuals(at: Linearised, y: Any) -> Any:
    """Check y and return z − y, (n, k)."""
    y = arrays.floating("y", y)
    if y.shape != at.output.shape:
        raise ValueError(
            f"expected y with shape {at.output.shape} like the outputs, got {y.shape}; "
            "broadcasting would compare every example with every other"
        )
    return (at.output - y).reshape(at.logits.shape)


LOSSES = {
    "cross_entropy": (_cross_entropy, _cross_entropy_gradient),
    "mean_squared_error": (_mean_squared_error, _mean_squared_error_gradient),
}
