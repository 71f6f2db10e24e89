"""Columns for a trial of Jᵀr, zero but in some of the examples, and how products compare."""

from collections.abc import Sequence
from itertools import combinations, count, islice
from math import comb

import torch
from torch import Tensor

from gradreg_torch._engine.float64 import float64_device, in_float64

# What another order of a sum may change, as a part: code that gets float64 may use float32.
ORDER = 64 * torch.finfo(torch.float32).eps


def separating(n: int, device: torch.device) -> Tensor:
    """Sets of examples (s, n): for any two examples, one set has the first and not the second.

    Every example has its own binary number of s digits, s // 2 of which are ones; a set for each
    digit. No number has all the ones of another (Sperner), and s is about log₂ n + ½ log₂ log₂ n.
    """
    digits = next(s for s in count(1) if comb(s, s // 2) >= n)
    if digits == 1:
        return torch.ones(1, 1, dtype=torch.bool, device=device)
    ones = list(islice(combinations(range(digits), digits // 2), n))
    sets = torch.zeros(n, digits, dtype=torch.bool, device=device)
    return sets.scatter_(1, torch.tensor(ones, device=device), True).T


def column(output: Tensor, some: Tensor) -> Tensor:
    """A column like the output, zero but in some of the examples."""
    r = torch.zeros_like(output)
    k = torch.arange(r[some].numel(), device=r.device)
    r[some] = torch.cos(k + 1.0).reshape(r[some].shape).to(r.dtype)
    return r


def without_pattern(like: Tensor, seed: int = 1) -> Tensor:
    """Numbers without a pattern."""
    device = float64_device(like.device)
    k = torch.arange(1, like.numel() + 1, device=device, dtype=torch.float64)
    return torch.cos(seed * k * k).reshape(like.shape).to(like)


def not_zero(v: Tensor) -> bool:
    """Whether an entry is another number than 0, and all are numbers."""
    return bool(v.any()) and bool(torch.isfinite(v).all())


def norm(products: Sequence[Tensor]) -> Tensor:
    """‖a‖ of products, those in all inputs together."""
    return torch.stack([in_float64(a.detach()).norm() for a in products]).norm()


def distance(some: Sequence[Tensor], others: Sequence[Tensor]) -> Tensor:
    """‖a − b‖ of products, those in all inputs together."""
    apart = (
        in_float64(a.detach()) - in_float64(b.detach()) for a, b in zip(some, others, strict=True)
    )
    return torch.stack([a.norm() for a in apart]).norm()


def repeats(some: Sequence[Tensor], others: Sequence[Tensor]) -> bool:
    """Whether products are others but for the order of sums, which changes where it is atomic."""
    return bool(distance(some, others) <= ORDER * norm(others))


def differ(
    some: Sequence[Tensor], others: Sequence[Tensor], limit: float, floor: float = 0.0
) -> bool:
    """Whether products differ from others by more than a part `limit` of these, or of `floor`."""
    return bool(distance(some, others) > limit * norm(others).clamp(min=floor))
