"""FrobReg: the exact squared Frobenius norm of the logits Jacobian."""

from typing import Any

from gradreg_jax.products import Linearised, Model, identity, reduce


def frobreg(f: Model, params: Any, x: Any, *, reduction: str = "mean") -> Any:
    """‖J‖²_F = Σ_ki J[k, i]², that is ‖JᵀR‖²_F with R = I: m vector-Jacobian products.

    Parameters
    ----------
    f : callable
        ``f(params, x)`` returns logits (n, …), every row a function of its own example.
    params : pytree
        What is trained; the penalty is differentiated in it by `jax.grad`.
    x : array (n, …) or pytree of them
        Inputs, of floating dtypes; all are differentiated.
    reduction : {"mean", "sum", "none"}
        Over the batch; "none" returns one value an example.

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
    at = Linearised.at(f, params, x)
    n, m = at.logits.shape
    return reduce(at.contract(identity(n, m, at.output.dtype)), reduction)
