"""Reverse mode: Jᵀr by vector-Jacobian products, the gradient by double backward. Exact."""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from gradreg_torch._engine import batch_norm, checks
from gradreg_torch._engine.call import Call
from gradreg_torch._engine.contraction import Contraction, Side, same_for_all
from gradreg_torch._engine.examples import per_example
from gradreg_torch._engine.sums import at_least_single

# Products whose graphs are kept until the backward pass.
MOST_GRAPHS = 20
_Pullback = Callable[[Tensor], tuple[Tensor, ...]]


class Reverse(NamedTuple):
    """A pass whose graph leads from the output back to the inputs.

    Parameters
    ----------
    call : Call
        What was asked for.
    output : Tensor (n, …)
        What the model returned.
    pullback : callable, optional
        Inside `torch.compile`: `torch.func.vjp` of the model, which compiles where a double
        backward does not.
    last : bool
        Whether the penalty's gradient is the last derivative that is right: `graph.wrong_thrice`.
    coupled, by_norm : bool
        Whether examples depend on each other, and whether torch's batch norm is the reason.
    apart : bool
        Whether torch is wrong for several columns at once: `batched_trial`.
    fresh : bool
        Whether this pass was tried.
    """

    call: Call
    output: Tensor
    pullback: _Pullback | None = None
    last: bool = False
    coupled: bool = False
    by_norm: bool = False
    apart: bool = False
    fresh: bool = False

    @property
    def side(self) -> Side:
        """The side of the logits."""
        z = self.output
        return Side(z, z.numel() // z.shape[0], self.call.reads)

    def columns(self, R: Contraction) -> Tensor:
        """R[n, k, q]; a user's R that is one for all of several coupled examples is refused."""
        columns = R.columns(self.side)
        if self.coupled and R.by_user and self.call.reads and same_for_all(columns):
            raise ValueError(batch_norm.refusal(batch_norm.OWN_R, self.by_norm))
        return columns

    def contract(self, R: Contraction) -> tuple[Tensor, Tensor, bool]:
        """‖JᵀR‖²_F of every example, (n,), the output, and whether values are read.

        `chunk_size` products at a time.
        """
        columns, S = self.columns(R).permute(2, 0, 1), R.factor(self.output)
        if columns.shape[0] == 1:
            return self.squares(columns, S), self.output, self.call.reads
        q = columns.shape[0]
        chunks = torch.split(columns, self.together(q))
        # The graphs of many products do not fit into memory: backward computes them again.
        again = len(chunks) > MOST_GRAPHS and self.call.create_graph and self.pullback is None
        squares = [
            checkpoint(self.squares, rs, S, use_reentrant=False) if again else self.squares(rs, S)
            for rs in chunks
        ]
        total = squares[0] if len(squares) == 1 else torch.stack(squares).sum(dim=0)
        return total / q if R.averaged else total, self.output, self.call.reads

    def together(self, q: int) -> int:
        """How many of q columns are multiplied at once."""
        # On the CPU a loop is the faster way too: larger products only leave the cache.
        one_by_one = self.output.is_cpu and not self.call.functional
        return 1 if self.apart else min(self.call.chunk_size or (1 if one_by_one else q), q)

    def squares(self, rs: Tensor, S: Callable[[Tensor], Tensor]) -> Tensor:
        """Σ_q ‖JᵀS r_q‖² of every example, (n,), of columns rs[q, n, k]."""
        rs = S(rs).to(self.output.dtype)
        if rs.shape[0] == 1:
            return self.squared(self.vjp(rs.reshape(self.output.shape), self.call.create_graph))
        rs = rs.reshape(-1, *self.output.shape)
        products = self.vjp(rs, self.call.create_graph, batched=True)
        return self.squared(products, examples=1)

    def squared(self, products: tuple[Tensor, ...], examples: int = 0) -> Tensor:
        """Σ over columns, inputs and coordinates, of every example: (n,)."""
        if len(products) == 1:
            total = sum_of_squares(products[0], examples)
        else:
            total = torch.stack([sum_of_squares(v, examples) for v in products]).sum(dim=0)
        batch = self.call.batch
        return total if batch is None else per_example(total, batch, self.output.shape[0])

    def vjp(self, r: Tensor, create_graph: bool, batched: bool = False) -> tuple[Tensor, ...]:
        """Jᵀr for r (n, …), or (q, n, …) if batched; for every input a tensor of its shape."""
        if self.pullback is not None:
            return torch.func.vmap(self.pullback)(r) if batched else self.pullback(r)
        products = torch.autograd.grad(
            self.output,
            list(self.call.inputs.values()),
            r,
            create_graph=create_graph,
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=batched,
        )
        checks.reached(self.call.inputs, products)
        return products


def sum_of_squares(products: Tensor, examples: int = 0) -> Tensor:
    """Σ over all axes but that of the examples: (n,)."""
    others = [*range(products.ndim)]
    del others[examples]
    return at_least_single(products).square().sum(dim=others)
