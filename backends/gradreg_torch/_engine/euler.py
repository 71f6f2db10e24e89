"""Does autograd record Jᵀr as the linear function of r that it is?

For a constant w, ∂⟨Jᵀr, w⟩/∂r must be J w, so that ⟨s, ∂⟨Jᵀr, w⟩/∂r⟩ = ⟨Jᵀs, w⟩ for each s. Tried
are r (Euler's identity), and r with other sizes of its entries, twice.

If a part of the backward pass records no graph, the left side lacks this part. If gradients are
rounded in multiples of the largest, the record has the derivative of the largest alone, which only
the other s show. w is Jᵀr with 1 as its largest entry, so that neither side underflows or
overflows where the square of Jᵀr does.

Where terms cancel (a norm over two entries, a saturated softmax) Jᵀr can be rounding alone, and
then neither side says anything. Rounding shows in products that should be linear: Jᵀ(c r) / c is
Jᵀr but for rounding, if c is no power of two.
"""

from collections.abc import Callable
from math import isfinite

import torch
from torch import Tensor

from gradreg_torch._engine.columns import without_pattern
from gradreg_torch._engine.float64 import joined

FACTORS = 1.02, 0.97  # near 1: a clipped gradient, which is not linear either, moves little
MOST = 8  # of the rounding that showed; right networks needed 3, in half precision 7
_SEEDS = 1, 5
Products = tuple[Tensor, ...]


def holds(
    r: Tensor,
    v: Products,
    forth: Callable[[Tensor], Products],
    back: Callable[[Products], Tensor | None],
    limit: float,
) -> bool:
    """Whether the identity holds for each s, to a part `limit` or to rounding.

    Parameters
    ----------
    r, v : Tensor, tuple of Tensors
        The column, and Jᵀr.
    forth, back : callable
        r ↦ Jᵀr, and w ↦ ∂⟨Jᵀr, w⟩/∂r as autograd computes it, or None if nothing is recorded.
    limit : float
        The largest difference, as a part of ⟨Jᵀr, w⟩.
    """
    r, v = r.detach(), tuple(t.detach() for t in v)
    largest = torch.stack([t.abs().max() for t in v]).max()
    w = tuple(t / largest for t in v)
    left, expected = _back(back, w, r), _inner(v, w)
    if not 0 < expected < float("inf"):
        return True
    wide = all(t.dtype == torch.float64 for t in v)
    least = torch.finfo(torch.float64 if wide else torch.float32).tiny  # smaller ones lose digits
    others = [r * (1 + without_pattern(r, seed)) / 2 for seed in _SEEDS]
    for column, product in ((r, v), *((s, forth(s)) for s in others)):
        off = abs(float((_flat([column]) * left).sum()) - _inner(product, w))
        if isfinite(off) and off > limit * expected:
            rounding = [least]
            for c in FACTORS:
                of_v = (_flat(forth(c * column)) / c - _flat(product)).norm() * _flat(w).norm()
                of_w = _back(back, tuple(c * t for t in w), r) / c - left
                rounding += [float(of_v), float((_flat([column]) * of_w).norm())]
            if off > MOST * max(rounding):
                return False
    return True


def _inner(v: Products, w: Products) -> float:
    """⟨v, w⟩."""
    return float((_flat(v) * _flat(w)).sum())


def _back(back: Callable[[Products], Tensor | None], w: Products, r: Tensor) -> Tensor:
    """∂⟨Jᵀr, w⟩/∂r, zero where nothing is recorded."""
    found = back(w)
    return _flat([torch.zeros_like(r) if found is None else found])


def _flat(tensors: Products | list[Tensor]) -> Tensor:
    """All entries, in float64, without a graph."""
    return joined([t.detach() for t in tensors])
