"""How far rounding alone can drive two runs apart, measured on the run itself.

A computed product of matrices is the exact one of weights changed relatively by at most (d + 1) u,
d the length of a row and u = 2⁻⁵³; an elementwise function is off by some roundings, and so is the
update. A step's rounding is therefore a relative change of the weights by at most K u, K the
roundings on the way of one term. What such changes do, in their step and in every later one, is
*measured*: the run is repeated with the weights of every step changed at random by 2⁻⁴⁰, so much
more than rounding that rounding does not show, and so little that the answer is proportional.
"""

from typing import NamedTuple

import numpy as np

from gradreg_experiments.agreement import by_torch
from gradreg_experiments.agreement.course import Course, Trajectory
from gradreg_ref.networks import Linear
from gradreg_ref.typing import Array

NUDGE, REPEATS = 2.0**-40, 3
ELEMENTWISE, OPTIMISER = 8, 16  # roundings of an activation with its derivatives, of an update


class Differences(NamedTuple):
    """Of two trajectories, the largest in every step: (t,) each."""

    loss: Array
    penalty: Array
    theta: Array


def differences(a: Trajectory, b: Trajectory) -> Differences:
    """Absolute; of the parameters the largest."""
    return Differences(
        np.abs(a.loss - b.loss),
        np.abs(a.penalty - b.penalty),
        np.abs(a.theta - b.theta).max(axis=1),
    )


def roundings(course: Course) -> int:
    """K: a term passes every layer four times, forward and backward and back through both."""
    rows = [layer.weight.shape for layer in course.network.layers if isinstance(layer, Linear)]
    once = sum(max(shape) + 1 + ELEMENTWISE for shape in rows)
    return 4 * once + len(course.batches[0].x) + OPTIMISER


def rounding_bound(course: Course, run: Trajectory) -> Differences:
    """What K roundings a step can come to, in every step so far."""
    seen = [
        differences(run, by_torch.train(course, nudge=NUDGE, rng=np.random.default_rng(seed)))
        for seed in range(REPEATS)
    ]
    factor = roundings(course) * 2.0**-53 / NUDGE
    return Differences(
        *(factor * np.maximum.accumulate(np.max(part, axis=0)) for part in zip(*seen, strict=True))
    )
