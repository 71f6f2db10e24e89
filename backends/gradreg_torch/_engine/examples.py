"""Which example a row of x belongs to: its own, or with `batch` the one that `batch` says."""

from typing import Any

import torch
from torch import Tensor


def require_batch(batch: Any, x: Tensor, reads: bool) -> None:
    """Raise unless `batch` is a LongTensor (N,), one number >= 0 for every row of x."""
    n = x.shape[0]
    if not isinstance(batch, Tensor) or batch.dtype != torch.int64 or batch.shape != (n,):
        came = type(batch).__name__
        if isinstance(batch, Tensor):
            came = f"{batch.dtype} of shape {tuple(batch.shape)}"
        raise (ValueError if isinstance(batch, Tensor) else TypeError)(
            f"expected batch to be a tensor of torch.int64 with shape ({n},), the example that "
            f"each row of x belongs to, got {came}; PyTorch Geometric calls this data.batch"
        )
    if batch.device != x.device:
        raise ValueError(
            f"expected batch on {x.device} like x, got {batch.device}; move it with "
            "batch.to(x.device)"
        )
    if reads and batch.min() < 0:
        raise ValueError(f"expected batch >= 0, got {int(batch.min())}; examples count from 0")


def require_range(batch: Tensor, n: int) -> None:
    """Raise unless every row belongs to a row of the logits (reads values)."""
    if batch.max() >= n:
        raise ValueError(
            f"expected batch < {n}, as the model returned logits of {n} examples, got "
            f"{int(batch.max())}; pass the batch that the model pools by, or return one row of "
            "logits for each graph"
        )


def per_example(values: Tensor, batch: Tensor, n: int) -> Tensor:
    """Values of the rows of x, added up for each of n examples."""
    return values.new_zeros(n).index_add(0, batch, values)


def per_row(values: Tensor, batch: Tensor | None) -> Tensor:
    """Values of examples, for every row of x."""
    return values if batch is None else values[batch]


def coupled() -> str:
    """Say what to do about a row of x that reaches the logits of another example."""
    return (
        "expected each row of x to reach the logits of its own example alone, the row batch[i] of "
        "the logits, got a row that reaches others; pass the batch that the model pools by, edges "
        "that stay inside a graph, and norms over a graph in place of norms over the batch"
    )
