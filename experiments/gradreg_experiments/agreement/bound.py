"""How far rounding alone can drive two runs apart, measured on the run itself.

A computed product of matrices is the exact product of weights that are changed relatively by at
most (d + 1) u, where d is the length of a row and u = 2⁻⁵³. An elementwise function has some
roundings more, and so has the update. So the rounding of a step is a relative change of the weights
by at most K u, where K counts the roundings of one term. What such changes do, in this step and in
every later step, is *measured*: the run is repeated, and the weights of every step are changed at
random by 2⁻⁴⁰. This change is far larger than rounding, and so small that
its effect is proportional to it.
"""

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from gradreg_experiments.agreement import by_torch
from gradreg_experiments.agreement.course import Course, Trajectory
from gradreg_ref.networks import Linear
from gradreg_ref.typing import Array

_NUDGE, _REPEATS = 2.0**-40, 3
_ELEMENTWISE, _OPTIMISER = 8, 16  # roundings of an activation with its derivatives, of an update


class _Differences(NamedTuple):
    """The largest differences of two trajectories in every step: (t,) each."""

    loss: Array
    penalty: Array
    theta: Array


def differences(a: Trajectory, b: Trajectory) -> _Differences:
    """Absolute differences; of the parameters the largest difference."""
    return _Differences(
        np.abs(a.loss - b.loss),
        np.abs(a.penalty - b.penalty),
        np.abs(a.theta - b.theta).max(axis=1),
    )


def _roundings(course: Course) -> int:
    """K: a term passes every layer four times, forward and backward and back through both."""
    rows = [layer.weight.shape for layer in course.network.layers if isinstance(layer, Linear)]
    once = sum(max(shape) + 1 + _ELEMENTWISE for shape in rows)
    return 4 * once + len(course.batches[0].x) + _OPTIMISER


def rounding_bound(course: Course, run: Trajectory) -> _Differences:
    """Bound how far K roundings per step can drive two runs apart, in every step so far."""
    seen = [
        differences(run, by_torch.train(course, nudge=_NUDGE, rng=np.random.default_rng(seed)))
        for seed in range(_REPEATS)
    ]
    factor = _roundings(course) * 2.0**-53 / _NUDGE
    return _Differences(
        *(factor * np.maximum.accumulate(np.max(part, axis=0)) for part in zip(*seen, strict=True))
    )


@dataclass(frozen=True)
class Comparison:
    """How far two backends came apart on one course, and how far rounding can take them.

    Parameters
    ----------
    network, penalty, optimiser : str
        The course.
    other : str
        The backend whose run is compared with torch's run.
    apart, bound : Differences
        The differences that were seen, and the differences that rounding can make.
    """

    network: str
    penalty: str
    optimiser: str
    other: str
    apart: _Differences
    bound: _Differences

    @property
    def share(self) -> float:
        """The largest part of its bound that a loss, a penalty or a parameter takes up."""
        parts = zip(self.apart, self.bound, strict=True)
        return max(float(np.max(_share(seen, limit))) for seen, limit in parts)

    @property
    def row(self) -> dict[str, Any]:
        """The numbers of a comparison, for tables and files."""
        largest = {f"{name}_apart": float(a.max()) for name, a in self.apart._asdict().items()}
        names = {n: getattr(self, n) for n in ("network", "penalty", "optimiser", "other")}
        return names | {"steps": len(self.apart.loss)} | largest | {"share_of_bound": self.share}


def _share(seen: Array, limit: Array) -> Array:
    """Return the difference seen over its limit; 0 where both are zero."""
    return np.divide(seen, limit, out=np.where(seen > 0, np.inf, 0.0), where=limit > 0)
