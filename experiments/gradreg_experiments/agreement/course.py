"""What is trained: the toy problem, as regression and as classification, with every penalty.

Everything random is drawn here, by NumPy: parameters, data, order of batches and probes are the
same numbers for every backend.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import numpy as np

from gradreg_ref.networks import Activation, Linear, Network
from gradreg_ref.typing import Array, Loss, Rng

_Optimiser = Literal["sgd", "adam"]
OPTIMISERS: dict[_Optimiser, float] = {"sgd": 0.01, "adam": 0.001}  # learning rates
_POINTS, _CLASSES = 100, 3


class Batch(NamedTuple):
    """Inputs, labels or targets, and the probes of a penalty that has probes."""

    x: Array
    y: Array
    random: dict[str, Array]


class _Penalised(NamedTuple):
    """A penalty of `gradreg_ref.penalties.PENALTIES`, and how networks are trained with it."""

    penalty: str
    loss: Loss
    lam: float
    probed: bool = False
    options: Mapping[str, Any] = {}


@dataclass(frozen=True)
class Course:
    """Minimise the mean loss + λ · the mean penalty, batch after batch.

    Parameters
    ----------
    penalised : Penalised
        Loss, penalty and λ.
    optimiser : {"sgd", "adam"}
        With the usual constants and the learning rate of `OPTIMISERS`.
    network : Network
        Initial parameters.
    batches : list of Batch
        One batch for each step.
    """

    penalised: _Penalised
    optimiser: _Optimiser
    network: Network
    batches: list[Batch]

    @property
    def learning_rate(self) -> float:
        """Return the learning rate of the optimiser."""
        return OPTIMISERS[self.optimiser]


PENALTIES: dict[str, _Penalised] = {
    "frobreg": _Penalised("frobreg", "mean_squared_error", 0.01),
    "spectreg": _Penalised("spectreg", "mean_squared_error", 0.01, probed=True),
    "spectreg of classes": _Penalised("spectreg", "cross_entropy", 0.01, probed=True),
    "doubleback": _Penalised(
        "doubleback", "mean_squared_error", 0.01, options={"loss": "mean_squared_error"}
    ),
    "doubleback of classes": _Penalised("doubleback", "cross_entropy", 0.1),
    "jacreg": _Penalised("jacreg", "cross_entropy", 0.1),
    "jacreg, projected": _Penalised("jacreg", "cross_entropy", 0.1, probed=True),
    "onehot": _Penalised("onehot", "cross_entropy", 0.01),
    "confidence_penalty": _Penalised("confidence_penalty", "cross_entropy", 0.1),
    "weight_decay": _Penalised("weight_decay", "mean_squared_error", 1e-3),
}
# (hidden widths, activation, batch): the paper's network, and one small enough for complex steps.
_SIZES: dict[str, tuple[tuple[int, ...], str, int]] = {
    "paper": ((64,) * 5, "relu", 50),
    "small": ((5, 4), "tanh", 10),
}


def course(name: str, optimiser: _Optimiser, size: str, steps: int) -> Course:
    """The course of a penalty: the first steps of one and the same run."""
    penalised, (hidden, activation, n) = PENALTIES[name], _SIZES[size]
    rng = np.random.default_rng(0)
    m = 1 if penalised.loss == "mean_squared_error" else _CLASSES
    network = _initial((1, *hidden, m), activation, rng)
    x = rng.uniform(-1, 1, (_POINTS, 1))
    height = np.sin(5 * x) + 0.1 * rng.standard_normal(x.shape)
    y = height if m == 1 else np.digitize(height[:, 0], [-0.5, 0.5])  # low, middle, high
    batches = [_one_batch(x, y, n, m, penalised.probed, rng) for _ in range(steps)]
    return Course(penalised, optimiser, network, batches)


def _one_batch(x: Array, y: Any, n: int, m: int, probed: bool, rng: Rng) -> Batch:
    """A random batch, with one gaussian probe an example."""
    chosen = rng.choice(len(x), n, replace=False)
    return Batch(x[chosen], y[chosen], {"probes": rng.standard_normal((n, m, 1))} if probed else {})


def _initial(widths: tuple[int, ...], activation: str, rng: Rng) -> Network:
    """W ~ N(0, 2 / fan-in), b uniform, so that no kink lies at the origin."""
    layers: list[Any] = []
    for fan_in, fan_out in pairwise(widths):
        W = rng.standard_normal((fan_out, fan_in)) * np.sqrt(2 / fan_in)
        layers += [Linear(W, rng.uniform(-0.5, 0.5, fan_out)), Activation(activation)]
    return Network(tuple(layers[:-1]))


class Trajectory(NamedTuple):
    """Loss and penalty before every step, (t,), and the parameters after it, (t, p)."""

    loss: Array
    penalty: Array
    theta: Array


Train = Callable[[Course], Trajectory]


def trajectory(points: list[tuple[float, float, Array]]) -> Trajectory:
    """Points in a row."""
    loss, penalty, theta = zip(*points, strict=True)
    return Trajectory(np.array(loss), np.array(penalty), np.stack(theta))
