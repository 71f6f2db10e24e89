"""‖JᵀR‖²_F by `jax.vjp`, ‖JV‖²_F by `jax.jvp`; J itself is not formed.

To be differentiated, though, products are kept for the backward pass: all q of them, and with R = I
these are the rows of J. A `chunk_size` bounds them.

Axes as in `gradreg_ref.contraction`: n example, k logit, i input coordinate, q column.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gradreg_jax import checks

Model = Callable[[Any, Any], Any]


@dataclass(frozen=True)
class Linearised:
    """Logits at x, and products with their Jacobian.

    Parameters
    ----------
    f, params : callable and pytree
        The network, ``f(params, x)``.
    x : pytree of arrays (n, …)
        Where; all of it is differentiated.
    """

    f: Model
    params: Any
    x: Any
    output: Any
    pullback: Callable[[Any], Any]

    @classmethod
    def at(cls, f: Model, params: Any, x: Any) -> "Linearised":
        """One forward pass."""
        n = checks.inputs(x)
        if not callable(f):
            raise TypeError(f"expected f(params, x) to be callable, got {type(f).__name__}")
        output, pullback = jax.vjp(lambda x: f(params, x), x)
        return cls(f, params, x, checks.outputs(output, n), pullback)

    @property
    def logits(self) -> Any:
        """z (n, m): all axes but the batch flattened."""
        return self.output.reshape(self.output.shape[0], -1)

    @property
    def input_dtype(self) -> Any:
        """Of the inputs of one example in a row."""
        return jnp.result_type(*jax.tree.leaves(self.x))

    @property
    def width(self) -> int:
        """i: input coordinates of one example."""
        return sum(prod(leaf.shape[1:]) for leaf in jax.tree.leaves(self.x))

    def contract(self, R: Any, chunk_size: int | None = None) -> Any:
        """‖JᵀR‖²_F of every example, (n,); R[n, k, q], or R[1, k, q] for all."""

        def one(r: Any) -> Any:
            (v,) = self.pullback(like(r.reshape(-1, *self.output.shape[1:]), self.output))
            return sum(squares(leaf) for leaf in jax.tree.leaves(v))

        return over_columns(one, R, chunk_size).sum(axis=0)

    def jvp(self, V: Any, chunk_size: int | None = None) -> Any:
        """J v for every column of V[n, i, q]: (q, n, k)."""
        one_example = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape[1:], jnp.result_type(leaf)), self.x
        )
        _, unravel = ravel_pytree(one_example)

        def one(v: Any) -> Any:
            tangent = jax.tree.map(like, jax.vmap(unravel)(v), self.x)
            _, J_v = jax.jvp(lambda x: self.f(self.params, x), (self.x,), (tangent,))
            return J_v.reshape(J_v.shape[0], -1)

        try:
            return over_columns(one, V, chunk_size)
        except TypeError as error:
            if "custom_vjp" not in str(error):
                raise
            raise TypeError(
                "expected operations with a forward rule, got a custom_vjp function, which has "
                "none; pass mode='reverse', or write it with jax.custom_jvp"
            ) from error


def over_columns(one: Callable[[Any], Any], R: Any, chunk_size: int | None) -> Any:
    """one(r) of every column r of R[n, k, q], stacked along a new first axis.

    With a `chunk_size` that many at once, and again in the backward pass, which then holds no more.
    """
    if chunk_size is None:
        return jax.vmap(one, in_axes=2)(R)
    size = min(checks.count("chunk_size", chunk_size), R.shape[2])
    return jax.lax.map(jax.checkpoint(one), jnp.moveaxis(R, 2, 0), batch_size=size)


def like(r: Any, a: Any) -> Any:
    """r in the dtype of a, and spread over devices like it, which JAX asks of (co)tangents."""
    return r.astype(jnp.result_type(a)) + jnp.zeros_like(a)


def squares(a: Any) -> Any:
    """Σ over all axes but the batch: (n,)."""
    return (at_least_single(a).reshape(a.shape[0], -1) ** 2).sum(axis=1)


def at_least_single(a: Any) -> Any:
    """In float32 where it comes in float16 or bfloat16."""
    return a.astype(jnp.float32) if a.dtype in checks.HALF else a


def identity(size: int, dtype: Any) -> Any:
    """I for all examples: (1, size, size)."""
    return jnp.eye(size, dtype=dtype)[None]


def reduce(values: Any, reduction: str) -> Any:
    """Per-example values (n,) as they are ("none"), their mean or their sum over the batch."""
    checks.choice("reduction", reduction, ("none", "mean", "sum"))
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.mean()
