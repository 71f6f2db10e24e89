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
    columns = R.permute(2, 0, 1)
    size = columns.shape[0] if chunk_size is None else checks.count("chunk_size", chunk_size)
    squares = [sum_of_squares(Jt_R) for rs in torch.split(columns, size) for Jt_R in vjp(f, rs)]
    return torch.stack(squares).sum(dim=0)


def vjp(f: ForwardPass, rs: Tensor) -> tuple[Tensor, ...]:
    """Jᵀr for probes rs[q, n, k]; for every input a tensor (q, n, …)."""
    batched = rs.shape[0] > 1
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
    Jt_R = Jt_R.float() if Jt_R.dtype in HALF else Jt_R
    return Jt_R.reshape(*Jt_R.shape[:2], -1).square().sum(dim=(0, 2))


def reduce(values: Tensor, reduction: str) -> Tensor:
    """Per-example values (n,) as they are ("none"), their mean or their sum over the batch."""
    checks.choice("reduction", reduction, ("none", "mean", "sum"))
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.mean()
