"""‖JᵀR‖²_F, or ‖JV‖²_F in forward mode, by the mode of the pass: J itself is not formed.

Axes as in `gradreg_ref.contraction`: n example, k logit, i input coordinate, q column.
"""

import torch
from torch import Tensor

from gradreg_torch import checks, distributed, finite_difference, forward, reverse, sums
from gradreg_torch.forward_pass import ForwardPass
from gradreg_torch.inputs import width

DIFFERENCES = ("finite_difference", "one_sided_difference")


def contract(f: ForwardPass, columns: Tensor, chunk_size: int | None = None) -> Tensor:
    """Per-example values (n,); columns R[n, k, q] of the logits, or V[n, i, q] in forward mode."""
    if chunk_size is not None:
        checks.count("chunk_size", chunk_size)
    if f.mode == "forward":
        values = forward.contract(f, columns, chunk_size)
    elif f.mode in DIFFERENCES:
        values = finite_difference.contract(f, columns)
    else:
        values = reverse.contract(f, columns, chunk_size)
    if f.check_values:
        checks.finite_value(values)
    return distributed.reaching_all(f.model and f.model.function, values)


def reduce(f: ForwardPass, values: Tensor, reduction: str) -> Tensor:
    """Per-example values (n,) as they are ("none"), their mean or their sum over the batch."""
    if reduction == "none" and f.coupled and f.mode in DIFFERENCES and f.create_graph:
        raise ValueError(
            "expected reduction='mean' or 'sum' with finite differences through batch norm in "
            "training mode, got 'none': only the gradient of the sum is known; "
            "pass mode='reverse' or batchnorm='eval'"
        )
    return sums.reduce(values, reduction)


def side(f: ForwardPass) -> int:
    """How many coordinates a column has: those of the inputs in forward mode, else the logits."""
    return width(f.inputs) if f.mode == "forward" else f.logits.shape[1]


def identity(f: ForwardPass) -> Tensor:
    """The columns of the exact penalty: R = I_m, or V = I_i, of all examples."""
    f.same_for_all()
    n, size = f.example.shape[0], side(f)
    dtype = f.example.dtype if f.mode == "forward" else f.logits.dtype
    return torch.eye(size, dtype=dtype, device=f.example.device).expand(n, size, size)
