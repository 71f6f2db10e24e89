"""FrobReg: the exact squared Frobenius norm of the logits Jacobian."""

from typing import Any

from gradreg_jax.products import Linearised, Model, reduce


def frobreg(
    f: Model,
    params: Any,
    x: Any,
    *,
    mode: str = "reverse",
    reduction: str = "mean",
    chunk_size: int | None = None,
    batch: Any = None,
) -> Any:
    """Compute FrobReg, ‖J‖²_F = Σ_ki J[k, i]² = ‖JᵀR‖²_F with R = I, by m vector-Jacobian products.

    Forward mode computes ‖JV‖²_F with V = I by i Jacobian-vector products.

    Parameters
    ----------
    f : callable
        ``f(params, x)`` returns logits (n, …), each row computed from its own example.
    params : pytree
        The parameters, in which `jax.grad` differentiates the penalty.
    x : array (n, …) or pytree of them
        Inputs of floating dtypes. J has the derivatives in all of them.
    mode : {"reverse", "forward"}
        Products by `jax.vjp` with columns of logits, or by `jax.jvp` with columns of inputs.
    reduction : {"mean", "sum", "none"}
        Mean or sum over the batch; "none" returns one value per example.
    chunk_size : int, optional
        How many products are computed at once; None computes all at once. A number saves memory and
        takes more time, as the backward pass computes the products again.
    batch : integer array (N,), optional
        The example (graph) that each row of x belongs to: x has N rows, and the logits have n, one
        per graph. Not in forward mode. Under `jit` a number outside [0, n) makes all values NaN.

    Returns
    -------
    array () or (n,)
        Without a factor ½, without a square root. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError
        Bad input. Every message says what was expected and what to do.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), FrobReg.
    """
    at = Linearised.at(f, params, x, mode, batch)
    return reduce(at.contract(at.identity(), chunk_size), reduction)
