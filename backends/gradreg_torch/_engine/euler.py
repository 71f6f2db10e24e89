"""Is Jᵀr, as autograd records it, a function of r: ⟨r, ∂⟨Jᵀr, w⟩/∂r⟩ = ⟨Jᵀr, w⟩ (Euler)?

If a part of the backward pass records no graph, the left side lacks this part. w is Jᵀr with 1 as
its largest entry, so that neither side underflows or overflows where the square of Jᵀr does.

Where terms cancel (a norm over two entries, a saturated softmax) Jᵀr can be rounding alone, and
then neither side says anything. Rounding shows in products that should be linear: Jᵀ(c r) / c is
Jᵀr but for rounding, if c is no power of two.
"""

from collections.abc import Callable
from math import isfinite

import torch
from torch import Tensor

FACTORS = 1.02, 0.97  # near 1: a clipped gradient, which is not linear either, moves little
MOST = 8  # of the rounding that showed; right networks needed 3, in half precision 7
Products = tuple[Tensor, ...]


def holds(
    r: Tensor,
    v: Products,
    forth: Callable[[Tensor], Products],
    back: Callable[[Products], Tensor | None],
    limit: float,
) -> bool:
    """Whether the identity holds, to a part `limit` or to rounding.

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
    left, right = _back(back, w, r), _flat(v) * _flat(w)
    expected = float(right.sum().detach())
    off = abs(float((_flat([r]) * left).sum().detach()) - expected)
    if not (0 < expected < float("inf") and isfinite(off)) or off <= limit * expected:
        return True
    rounding = []
    for c in FACTORS:
        of_v = (_flat(forth(c * r)) / c - _flat(v)).norm() * _flat(w).norm()
        of_r = (_flat([r]) * (_back(back, tuple(c * t for t in w), r) / c - left)).norm()
        rounding += [float(of_v.detach()), float(of_r.detach())]
    return off <= MOST * max(rounding)


def _back(back: Callable[[Products], Tensor | None], w: Products, r: Tensor) -> Tensor:
    """∂⟨Jᵀr, w⟩/∂r, zero where nothing is recorded."""
    found = back(w)
    return _flat([torch.zeros_like(r) if found is None else found])


def _flat(tensors: Products | list[Tensor]) -> Tensor:
    """All entries, in float64."""
    return torch.cat([t.flatten().double() for t in tensors])
