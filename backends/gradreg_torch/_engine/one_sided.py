"""One-sided differences at three steps, and how far they lie apart.

Across a kink, and in a precision that the steps do not resolve, they do not agree, and decide
nothing. The steps are no multiples of each other: what is rounded does not fit them all.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def steps(h: float) -> tuple[float, float, float]:
    """The steps, the longest first."""
    return h, h / 2.7, h / 7.3


def one_sided(at: Callable[[float], Tensor], h: float) -> tuple[Tensor, Tensor]:
    """The mean of (at(s) − at(0)) / s over the steps on both sides, and largest less smallest."""
    middle = at(0)
    sides = torch.stack([(at(s) - middle) / s for t in steps(h) for s in (t, -t)])
    return sides.mean(dim=0), sides.amax(dim=0) - sides.amin(dim=0)
