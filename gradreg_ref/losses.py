"""Losses of one example, their first derivative in the logits, and the softmax Jacobian.

Every function is complex-safe: shifts and comparisons use the real part only.
"""

from typing import Any

import numpy as np

from gradreg_ref import checks
from gradreg_ref.typing import Array, Loss


def softmax(z: Array) -> Array:
    """Compute p_k = exp(z_k) / Σ_l exp(z_l), shifted by max_k z_k so that nothing overflows."""
    e = np.exp(_shifted(z))
    return e / e.sum(axis=1, keepdims=True)


def log_softmax(z: Array) -> Array:
    """Compute log p_k = z_k − log Σ_l exp(z_l), shifted by max_k z_k."""
    shifted = _shifted(z)
    return shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))


def _shifted(z: Array) -> Array:
    """z_k − max_l z_l, at most 0: softmax is the same at any shift."""
    try:
        with np.errstate(over="raise"):
            return z - z.real.max(axis=1, keepdims=True)
    except FloatingPointError as error:
        raise ValueError(
            f"expected logits whose differences are finite in {z.dtype}, got an overflow; "
            "scale the network down"
        ) from error


def softmax_jacobian(z: Array) -> Array:
    """Compute S = ∂p/∂z = diag(p) − p pᵀ, shape (n, k, l). Symmetric, and its rows sum to zero."""
    p = softmax(z)
    diag_p = p[:, :, None] * np.eye(z.shape[1])
    return diag_p - np.einsum("nk,nl->nkl", p, p)


def target_probabilities(y: Any, n: int, m: int) -> Array:
    """Convert labels (n,) to onehot rows (n, m); check that rows (n, m) are probabilities."""
    y = checks.as_array("y", y)
    if y.ndim != 2:
        return np.eye(m)[checks.labels(y, n, m)]
    y = checks.floating("y", y)
    if y.shape != (n, m):
        raise ValueError(f"expected y with shape ({n},) or ({n}, {m}), got {y.shape}")
    if y.min() < 0 or np.abs(y.sum(axis=1) - 1).max() > 1e-6:
        raise ValueError("expected rows of y to be probabilities (>= 0, summing to 1)")
    return y


def _targets(y: Any, n: int, m: int) -> Array:
    """Check regression targets (n, m) against the shape of the outputs."""
    y = checks.floating("y", y)
    if y.shape != (n, m):
        raise ValueError(
            f"expected y with shape ({n}, {m}) like the outputs, got {y.shape}; "
            "for one output pass y[:, None]"
        )
    return y


def cross_entropy(z: Array, y: Any) -> Array:
    """Compute L = −Σ_k y_k log p_k per example, (n,); y labels (n,) or probabilities (n, k)."""
    z = checks.logits(z)
    checks.more_than_one_class(z.shape[1])
    return -np.einsum("nk,nk->n", target_probabilities(y, *z.shape), log_softmax(z))


def cross_entropy_gradient(z: Array, y: Any) -> Array:
    """Compute ∂L/∂z = p − y, since Σ_k y_k = 1; shape (n, k)."""
    z = checks.logits(z)
    checks.more_than_one_class(z.shape[1])
    return softmax(z) - target_probabilities(y, *z.shape)


def mean_squared_error(z: Array, y: Any) -> Array:
    """Compute L = (1/m) Σ_k (z_k − y_k)² per example, (n,). No ½: the mean over outputs."""
    z = checks.logits(z)
    residual = z - _targets(y, *z.shape)
    return np.einsum("nk,nk->n", residual, residual) / z.shape[1]


def _mean_squared_error_gradient(z: Array, y: Any) -> Array:
    """Compute ∂L/∂z = 2 (z − y) / m; shape (n, k)."""
    z = checks.logits(z)
    return 2 * (z - _targets(y, *z.shape)) / z.shape[1]


LOSSES = {
    "cross_entropy": (cross_entropy, cross_entropy_gradient),
    "mean_squared_error": (mean_squared_error, _mean_squared_error_gradient),
}


def loss_gradient(z: Array, y: Any, loss: Loss) -> Array:
    """Compute ∂L/∂z of the named loss; shape (n, k)."""
    checks.choice("loss", loss, LOSSES)
    return LOSSES[loss][1](z, y)
