"""Confidence penalty: the negative entropy of the predicted distribution."""

from typing import Any

import jax
import jax.numpy as jnp

from gradreg_jax import arrays, checks
from gradreg_jax.products import at_least_single, reduce


def confidence_penalty(logits: Any, *, reduction: str = "mean") -> Any:
    """Compute Σ_k p_k log p_k, the negative entropy of p = softmax(z).

    This is no gradient penalty. It is here because the paper compares with it.

    Parameters
    ----------
    logits : array (n, k)
        The network's outputs z.
    reduction : {"mean", "sum", "none"}
        Mean or sum over the batch, or one value per example. The authors' scripts use the sum.

    Returns
    -------
    array () or (n,)
        Natural logarithm; between −log m (uniform) and 0 (certain).

    Raises
    ------
    ValueError, TypeError
        Not a floating array (n, k) with n >= 1, k >= 2, or an unknown reduction.

    References
    ----------
    Pereyra et al., "Regularizing neural networks by penalizing confident output distributions"
    (2017); Varga, Csiszárik, Zombori (arXiv:1712.09936), CP.
    """
    z = checks.rows_of_logits(arrays.floating("logits", logits))
    if 0 in z.shape:
        raise ValueError(f"expected logits with n >= 1, got {z.shape}; skip empty batches")
    log_p = jax.nn.log_softmax(at_least_single(z), axis=1)
    p = jnp.exp(log_p)
    # 0 log 0 = 0. The inner one is for the gradient, in which 0 · ∞ would be NaN.
    p_log_p = jnp.where(p > 0, p * jnp.where(p > 0, log_p, 0), 0)
    return reduce(p_log_p.sum(axis=1), reduction)
