"""Compute ‖JᵀR‖²_F by `jax.vjp` and ‖JV‖²_F by `jax.jvp`, without forming J.

To be differentiated, though, products are kept for the backward pass: all q of them, and with R = I
these are the rows of J. A `chunk_size` bounds them.

Axes as in `gradreg_ref.contraction`: n example, k logit, i input coordinate, q column.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
from jax.flatten_util import ravel_pytree

from gradreg_jax import arrays, checks, trial

Model = Callable[[Any, Any], Any]
_UNROLLED = 16  # columns; a written-out loop over more columns takes long to compile


@dataclass(frozen=True)
class Linearised:
    """Logits at x and products with their Jacobian, from one forward pass.

    Parameters
    ----------
    network : callable
        ``f(params, ·)``.
    x : pytree of arrays (n, …)
        Where; all of it is differentiated.
    output : array (n, …)
        What the network returns there.
    pullback : callable
        Jᵀ r of an r like the output.
    mode : {"reverse", "forward"}
        How `contract` takes its products.
    batch : array (N,), optional
        The example that each row of x belongs to, where it is not one row per example.
    params : pytree of arrays
        The parameters of f.
    tries : bool
        Whether `contract` tries if products are right, see `trial`.
    """

    network: Callable[[Any], Any]
    x: Any
    output: Any
    pullback: Callable[[Any], Any]
    mode: str
    batch: Any = None
    params: Any = None
    tries: bool = True

    @classmethod
    def at(
        cls, f: Any, params: Any, x: Any, mode: str = "reverse", batch: Any = None
    ) -> "Linearised":
        """Run one forward pass; if f is a pass already (see `objective`), return f."""
        checks.choice("mode", mode, ("reverse", "forward"))
        if isinstance(f, cls):
            batch = f.batch if batch is None else batch
        if batch is not None and mode == "forward":
            raise ValueError("expected mode='reverse' with batch, got 'forward'")
        x, n = checks.inputs(x)
        if isinstance(f, cls):
            batch = batch if batch is f.batch else checks.batch(batch, n, len(f.output))
            return replace(f, mode=mode, batch=batch)
        if not callable(f):
            raise TypeError(f"expected f(params, x) to be callable, got {type(f).__name__}")

        def network(x: Any) -> Any:
            return f(params, x)

        output, pullback = jax.vjp(lambda x: checks.follows(network(x), x), x)
        output = checks.outputs(output, n if batch is None else None)
        batch = None if batch is None else checks.batch(batch, n, len(output))
        return cls(network, x, output, pullback, mode, batch, params)

    @property
    def logits(self) -> Any:
        """Return z (n, m): all axes but the batch flattened."""
        return self.output.reshape(self.output.shape[0], -1)

    @property
    def column(self) -> tuple[int, Any]:
        """Length and dtype of a column of R: those of m logits, in forward mode of i inputs."""
        side = jax.tree.leaves(self.output if self.mode == "reverse" else self.x)
        return sum(prod(a.shape[1:]) for a in side), jnp.result_type(*side)

    def identity(self) -> Any:
        """Return I for all examples: (1, k, k), in forward mode (1, i, i)."""
        size, dtype = self.column
        arrays.fitting("R = I", (size, size), "estimate the penalty with spectreg")
        return jnp.eye(size, dtype=dtype)[None]

    def contract(
        self, R: Any, chunk_size: int | None = None, S: Callable[[Any], Any] = lambda r: r
    ) -> Any:
        """Compute ‖JᵀS R‖²_F per example, (n,); in forward mode ‖S J R‖²_F. S is I, or symmetric.

        R[n, k, q], or R[1, k, q] for all; S takes a column (n, k).
        """
        if self.tries:
            trial.require_right(self, alone=R.shape[0] == 1 or self.batch is not None)

        def reverse(r: Any) -> Any:
            (v,) = self.pullback(like(S(r).reshape(-1, *self.output.shape[1:]), self.output))
            return self.per_example(sum(_squares(leaf) for leaf in jax.tree.leaves(v)))

        def forward(v: Any) -> Any:
            return _squares(S(self.pushforward(v)))

        one = reverse if self.mode == "reverse" else forward
        with checks.forward_rules():
            # Outside `jit` and `grad` JAX would compile a loop of its own at every call.
            op_by_op = arrays.concrete(self.output)
            return checks.products(_sum_over_columns(one, R, chunk_size, op_by_op))

    def per_example(self, rows: Any) -> Any:
        """Add up values of the rows of x for each of n examples."""
        if self.batch is None:
            return rows
        n = self.output.shape[0]
        total = jax.ops.segment_sum(rows, self.batch, num_segments=n)
        return jnp.where(((self.batch >= 0) & (self.batch < n)).all(), total, jnp.nan)

    def pushforward(self, v: Any) -> Any:
        """Compute J v, (n, k), for v (n, i) or (1, i)."""
        one_example = jax.tree.map(
            lambda leaf: jnp.zeros(leaf.shape[1:], jnp.result_type(leaf)), self.x
        )
        _, unravel = ravel_pytree(one_example)
        tangent = jax.tree.map(like, jax.vmap(unravel)(v), self.x)
        _, J_v = jax.jvp(self.network, (self.x,), (tangent,))
        return J_v.reshape(J_v.shape[0], -1)


def _sum_over_columns(
    one: Callable[[Any], Any], R: Any, chunk_size: int | None, op_by_op: bool
) -> Any:
    """Compute Σ_q one(r) over the columns r of R[n, k, q].

    With a `chunk_size` that many at once, and again in the backward pass, which then holds no more.
    Few columns are a loop that is written out: on a CPU it is faster than `vmap` (benchmarks/).
    """
    q = R.shape[2]
    size = q if chunk_size is None else min(checks.count("chunk_size", chunk_size), q)
    if size < q and not op_by_op:
        columns = jnp.moveaxis(R, 2, 0)
        return jax.lax.map(jax.checkpoint(one), columns, batch_size=size).sum(axis=0)
    if q <= _UNROLLED and chunk_size is None:
        return sum(one(R[:, :, j]) for j in range(q))
    chunks = (R[:, :, j : j + size] for j in range(0, q, size))
    return sum(jax.vmap(one, in_axes=2)(chunk).sum(axis=0) for chunk in chunks)


def like(r: Any, a: Any) -> Any:
    """Convert r to the dtype and sharding of a, as JAX requires of (co)tangents."""
    return r.astype(jnp.result_type(a)) + jnp.zeros_like(a)


def _squares(a: Any) -> Any:
    """Sum over all axes but the batch: (n,)."""
    return (at_least_single(a).reshape(a.shape[0], -1) ** 2).sum(axis=1)


def at_least_single(a: Any) -> Any:
    """Convert float16 and bfloat16 to float32."""
    return a.astype(jnp.float32) if a.dtype in arrays.HALF else a


def reduce(values: Any, reduction: str) -> Any:
    """Reduce per-example values (n,): "none" keeps them, "mean" and "sum" are over the batch."""
    checks.choice("reduction", reduction, ("none", "mean", "sum"))
    if reduction == "none":
        return values
    return checks.products(values.sum() if reduction == "sum" else values.mean())
