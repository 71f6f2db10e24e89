"""JacReg: the squared Frobenius norm of the Jacobian of the class probabilities."""

from collections.abc import Callable
from typing import Any

import jax

from gradreg_jax import checks
from gradreg_jax.probes import LAWS, projection
from gradreg_jax.products import Linearised, Model, at_least_single, reduce


def jacreg(
    f: Model,
    params: Any,
    x: Any,
    *,
    probes: Any = None,
    probe: str | None = None,
    num_probes: int | None = None,
    shared_probe: bool = False,
    key: Any = None,
    mode: str = "reverse",
    reduction: str = "mean",
    chunk_size: int | None = None,
    batch: Any = None,
) -> Any:
    """Compute JacReg, ‖∂p/∂x‖²_F = ‖JᵀR‖²_F with R = S = ∂p/∂z = diag(p) − p pᵀ, or R = S r / √q.

    Forward mode computes ‖S J V‖²_F, where V is I, or has probes of the inputs divided by √q.

    S depends on the parameters through p and is never detached: it takes part in the gradient.

    Parameters
    ----------
    f, params, x, mode, reduction, chunk_size, batch
        As in `frobreg`; f returns *logits* (n, k), not probabilities.
    probes, probe, shared_probe, key
        As in `spectreg`, for the projected form.
    num_probes : int, optional
        None, the default, is the exact form: m vector-Jacobian products (i Jacobian-vector ones).

    Returns
    -------
    array () or (n,)
        Without a factor ½. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError
        Bad input. Every message says what was expected and what to do.

    References
    ----------
    Sokolić, Giryes, Sapiro, Rodrigues, "Robust large margin deep neural networks" (2016);
    Varga, Csiszárik, Zombori (arXiv:1712.09936), JacReg.
    """
    if probe is not None:
        checks.choice("probe", probe, LAWS)
    exact = probes is None and num_probes is None
    checks.flag("shared_probe", shared_probe)
    if exact and (probe is not None or key is not None or shared_probe):
        raise ValueError(
            "expected num_probes >= 1 with probe, key or shared_probe, which belong to the "
            "projected form, got num_probes=None; leave them out for the exact form"
        )
    at = Linearised.at(f, params, x, mode, batch)
    S = softmax_jacobian(at.output)
    R = at.identity() if exact else projection(at, probes, probe, num_probes, shared_probe, key)
    return reduce(at.contract(R, chunk_size, S), reduction)


def softmax_jacobian(z: Any) -> Callable[[Any], Any]:
    """r ↦ S r = p∘r − p ⟨p, r⟩ of columns (n, k), for S = ∂p/∂z, which is not formed.

    S 1 = 0, so that S r = S (r − c 1). With c the entry of r at the largest logit no difference
    p − p² is taken, of which float32 has no digit left where p is near 1.
    """
    z = at_least_single(checks.rows_of_logits(z))
    p = jax.nn.softmax(z, axis=1)
    largest = jax.nn.one_hot(z.argmax(axis=1), z.shape[1], dtype=p.dtype)

    def S(r: Any) -> Any:
        r = r.astype(p.dtype)
        r = r - (largest * r).sum(axis=1, keepdims=True)
        return p * r - p * (p * r).sum(axis=1, keepdims=True)

    return S
