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

    In forward mode it is ‖JV‖²_F with V = I: i Jacobian-vector products.

    Parameters
    ----------
    f : callable
        ``f(params, x)`` returns logits (n, …), every row a function of its own example.
    params : pytree
        What is trained; the penalty is differentiated in it by `jax.grad`.
    x : array (n, …) or pytree of them
        Inputs, of floating dtypes; all are differentiated.
    mode : {"reverse", "forward"}
        Products by `jax.vjp` with columns of logits, or by `jax.jvp` with columns of inputs.
    reduction : {"mean", "sum", "none"}
        Over the batch; "none" returns one value per example.
    chunk_size : int, optional
        How many of the products are computed at once, which is less memory and more time: to be
        differentiated, they are computed again. None is all of them.
    batch : integer array (N,), optional
        The example that each row of x belongs to, where x has N rows and the logits n, one a graph.
        An example is then all its rows. No forward mode. Under `jit` a number outside [0, n) makes
        all values NaN.

    Returns
    -------
    array () or (n,)
        No ½, no square root. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError
        See `gradreg_jax.checks`: every message says what to do.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), FrobReg.
    """
    at = Linearised.at(f, params, x, mode, batch)
    return reduce(at.contract(at.identity(), chunk_size), reduction)
