"""‖JᵀR‖²_F by vector-Jacobian products: J is never formed.

Axes as in `gradreg_ref.contraction`: n example, k logit, i input coordinate, q column of R.
"""

import torch
from torch import Tensor

from gradreg_torch import checks
from gradreg_torch.forward_pass import ForwardPass

HALF = (torch.float16, torch.bfloat16)


def contract(f: ForwardPass, R: Tensor, chunk_size: int | None = None) -> Tensor:
    """‖JᵀR‖²_F of every example, (n,); R[n, k, q], q products, `chunk_size` of them at a time.

    The square is taken in float32 where the network computes in float16 or bfloat16.
    """
    columns = R.to(f.logits.dtype).permute(2, 0, 1)
    size = columns.shape[0] if chunk_size is None else checks.count("chunk_size", chunk_size)
    squares = [sum_of_squares(Jt_R) for rs in torch.split(columns, size) for Jt_R in vjp(f, rs)]
    values = torch.stack(squares).sum(dim=0)
    if f.check_values:
        checks.finite_value(values)
    return values


def vjp(f: ForwardPass, rs: Tensor) -> tuple[Tensor, ...]:
    """Jᵀr for probes rs[q, n, k]; for every input a tensor (q, n, …)."""
    batched = rs.shape[0] > 1
    if f.create_graph and not rs.requires_grad:
        # torch then notices a function that cannot be differentiated twice (where not batched).
        rs = rs.detach().requires_grad_()
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
    return products if batched else tuple(p[None] for p in products)


def sum_of_squares(Jt_R: Tensor) -> Tensor:
    """Σ over probes and input coordinates: (q, n, …) to (n,)."""
    Jt_R = at_least_single(Jt_R)
    return Jt_R.reshape(*Jt_R.shape[:2], -1).square().sum(dim=(0, 2))


def at_least_single(t: Tensor) -> Tensor:
    """In float32 where it comes in float16 or bfloat16."""
    return t.float() if t.dtype in HALF else t


def reduce(values: Tensor, reduction: str) -> Tensor:
    """Per-example values (n,) as they are ("none"), their mean or their sum over the batch."""
    checks.choice("reduction", reduction, ("none", "mean", "sum"))
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.mean()
