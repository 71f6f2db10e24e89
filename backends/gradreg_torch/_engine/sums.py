"""Squares, sums and means: in float32 where the network computes in float16 or bfloat16."""

import torch
from torch import Tensor

from gradreg_torch._engine.checks import HALF

REDUCTIONS = ("none", "mean", "sum")


def at_least_single(t: Tensor) -> Tensor:
    """Convert float16 and bfloat16 to float32."""
    return t.float() if t.dtype in HALF else t


def flat(output: Tensor) -> Tensor:
    """Outputs (n, …) as (n, m)."""
    return output.reshape(output.shape[0], -1)


def scaled(t: Tensor, factor: float) -> Tensor:
    """The product, without an operation where the factor is 1."""
    return t if factor == 1 else factor * t


def reduce(values: Tensor, reduction: str) -> Tensor:
    """Per-example values (n,) as they are ("none"), their mean or their sum over the batch."""
    if reduction == "none":
        return values
    return values.sum() if reduction == "sum" else values.mean()


def real(t: Tensor) -> Tensor:
    """t, with real and imaginary parts as an axis of their own."""
    return torch.view_as_real(t.resolve_conj()) if t.is_complex() else t
