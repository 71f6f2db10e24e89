"""JacReg: the squared Frobenius norm of the Jacobian of the class probabilities."""

from typing import Any

import jax
import jax.numpy as jnp

from gradreg_jax import checks
from gradreg_jax.probes import LAWS, batch_probes
from gradreg_jax.products import Linearised, Model, at_least_single, reduce


def jacreg(
    f: Model,
    params: Any,
    x: Any,
    *,
    probes: Any = None,
    probe: str = "gaussian",
    num_probes: int | None = None,
    shared_probe: bool = False,
    key: Any = None,
    reduction: str = "mean",
    chunk_size: int | None = None,
) -> Any:
    """‖∂p/∂x‖²_F = ‖JᵀR‖²_F with R = S = ∂p/∂z = diag(p) − p pᵀ; projected, R = S r / √q.

    S depends on the parameters through p and is never detached: it takes part in the gradient.

    Parameters
    ----------
    f, params, x, reduction, chunk_size
        As in `frobreg`; f returns *logits* (n, k), not probabilities.
    probes, probe, shared_probe, key
        As in `spectreg`, for the projected form.
    num_probes : int, optional
        None, the default, is the exact form: m vector-Jacobian products.

    Returns
    -------
    array () or (n,)
        No ½. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError
        See `gradreg_jax.checks`: every message says what to do.

    References
    ----------
    Sokolić, Giryes, Sapiro, Rodrigues, "Robust large margin deep neural networks" (2016);
    Varga, Csiszárik, Zombori (arXiv:1712.09936), JacReg.
    """
    checks.choice("probe", probe, LAWS)
    exact = probes is None and num_probes is None
    if exact and (key is not None or shared_probe):
        raise ValueError("expected num_probes=1 (or more) for the projected form, got none of it")
    at = Linearised.at(f, params, x)
    S = softmax_jacobian(at.output)
    if exact:
        return reduce(at.contract(S, chunk_size), reduction)
    n, m = at.logits.shape
    q = 1 if num_probes is None else num_probes
    r = batch_probes(n, m, S.dtype, probes, probe, q, shared_probe, key)
    S_r = jnp.einsum("nkl,nlq->nkq", S, r)
    return reduce(at.contract(S_r, chunk_size) / r.shape[2], reduction)


def softmax_jacobian(z: Any) -> Any:
    """S = ∂p/∂z = diag(p) − p pᵀ, shape (n, k, l). Symmetric, and its rows sum to zero."""
    p = jax.nn.softmax(at_least_single(checks.rows_of_logits(z)), axis=1)
    return jnp.eye(p.shape[1], dtype=p.dtype) * p[:, :, None] - p[:, :, None] * p[:, None, :]
