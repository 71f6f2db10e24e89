"""Contract: the squared norm of JᵀR for an R that the caller chooses."""

from typing import Any

from gradreg_jax import arrays
from gradreg_jax.products import Linearised, Model, reduce


def contract(
    f: Model,
    params: Any,
    x: Any,
    R: Any,
    y: Any = None,
    *,
    reduction: str = "mean",
    chunk_size: int | None = None,
    batch: Any = None,
) -> Any:
    """Compute ‖JᵀR‖²_F = Σ_iq (Σ_k J[k, i] R[k, q])² for a given R, by q vector-Jacobian products.

    Every gradient penalty of this package is this number with its own R. An R that depends on the
    parameters through the logits takes part in the gradient: it is never detached.

    Parameters
    ----------
    f, params, x, reduction, chunk_size, batch
        As in `frobreg`; here q products.
    R : array (n, k, q), or callable
        The columns, k over the flattened logits. A callable returns them from (logits, y).
    y : optional
        Labels or targets, for a callable R.

    Returns
    -------
    array () or (n,)
        Without a factor ½ and without division by q. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError
        R has another shape or dtype. Every message says what to do.
    """
    at = Linearised.at(f, params, x, batch=batch)
    R = arrays.floating("R", R(at.output, y) if callable(R) else R)
    n, m = at.logits.shape
    if R.ndim != 3 or R.shape[:2] != (n, m) or R.shape[2] == 0:
        raise ValueError(
            f"expected R with shape ({n}, {m}, q), got {R.shape}; for one column per example pass "
            "R[:, :, None]"
        )
    return reduce(at.contract(R, chunk_size), reduction)
