"""Reverse mode: Jᵀr by vector-Jacobian products, the gradient by double backward. Exact."""

import torch
from torch import Tensor

from gradreg_torch import checks
from gradreg_torch.forward_pass import ForwardPass
from gradreg_torch.running import math_attention
from gradreg_torch.sums import sum_of_squares


def contract(f: ForwardPass, R: Tensor, chunk_size: int | None) -> Tensor:
    """‖JᵀR‖²_F of every example, (n,); R[n, k, q], q products, `chunk_size` of them at a time."""
    columns = R.to(f.logits.dtype).permute(2, 0, 1)
    # On the CPU a loop is the faster way too: larger products only leave the cache.
    one_by_one = columns.device.type == "cpu" and not torch.compiler.is_compiling()
    size = (1 if one_by_one else columns.shape[0]) if chunk_size is None else chunk_size
    squares = [sum_of_squares(Jt_R) for rs in torch.split(columns, size) for Jt_R in vjp(f, rs)]
    return torch.stack(squares).sum(dim=0)


def vjp(f: ForwardPass, rs: Tensor) -> tuple[Tensor, ...]:
    """Jᵀr for probes rs[q, n, k]; for every input a tensor (q, n, …)."""
    batched = rs.shape[0] > 1
    if f.vjp is not None:
        rs = rs.reshape(-1, *f.output.shape)
        return torch.func.vmap(f.vjp)(rs) if batched else stacked(f.vjp(rs[0]))
    if f.create_graph and not rs.requires_grad:
        # torch then notices a function that cannot be differentiated twice (where not batched).
        rs = rs.detach().requires_grad_()
    with math_attention():  # as in the pass: a checkpointed block is computed again here
        products = torch.autograd.grad(
            f.logits,
            list(f.inputs.values()),
            rs if batched else rs[0],
            create_graph=f.create_graph,
            retain_graph=True,
            allow_unused=True,
            is_grads_batched=batched,
        )
    checks.reached(f.inputs, products)
    return products if batched else stacked(products)


def stacked(products: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One product as a stack of one."""
    return tuple(p[None] for p in products)
