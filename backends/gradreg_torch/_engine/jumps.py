"""Does a function jump along a line, as a function that rounds does?

Between two points on both sides of a jump, the difference of values keeps its size, however close
the points are. At a kink, or anywhere else, the difference becomes small with their distance.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from gradreg_torch._engine.float64 import in_float64

_POINTS = 33
_HALVINGS = 30
_PART = 0.1  # of a step that was a jump; others leave 2⁻³⁰, and a pole more than the step
_SMALL = 1e-3  # as a part of the largest step: rounding


def jumps(at: Callable[[float], Tensor], far: float) -> bool:
    """Whether an entry of at(h) jumps somewhere in −far < h < far, by more than rounding.

    The entry and the step that stand out most among equal steps are followed, by halving the step.
    """
    points = torch.linspace(-far, far, _POINTS, dtype=torch.float64).tolist()
    steps = in_float64(torch.stack([at(h) for h in points])).diff(dim=0)
    apart = (steps - steps.median(dim=0).values).abs()
    step, entry = divmod(int(apart.argmax()), apart.shape[1])
    low, high = points[step : step + 2]
    before, after = (float(at(h)[entry]) for h in (low, high))
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        value = float(at(middle)[entry])
        if abs(after - value) > abs(value - before):
            low, before = middle, value
        else:
            high, after = middle, value
    size, left = float(apart.max()), abs(after - before)
    return _PART * size < left < size / _PART and left > _SMALL * float(steps.abs().max())
