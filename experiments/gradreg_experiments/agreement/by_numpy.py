"""Training by the reference: explicit Jacobians, complex steps, optimisers by hand."""

from collections.abc import Callable
from typing import Any

import numpy as np

from gradreg_experiments.agreement.course import Batch, Course, Trajectory, trajectory
from gradreg_ref.complex_step import gradient
from gradreg_ref.losses import LOSSES
from gradreg_ref.networks import Network
from gradreg_ref.penalties import evaluate
from gradreg_ref.typing import Array


def train(course: Course) -> Trajectory:
    """Train with one complex step for every parameter in every step."""
    network, step, points = course.network, _STEPS[course.optimiser](course.learning_rate), []
    for batch in course.batches:
        loss, penalty = _terms(course, network, batch)

        def total(network: Network, batch: Batch = batch) -> Array:
            loss, penalty = _terms(course, network, batch)
            return loss + course.penalised.lam * penalty

        theta = network.parameters() + step(gradient(total, network))
        network = network.with_parameters(theta)
        points.append((float(loss), float(penalty), theta))
    return trajectory(points)


def _terms(course: Course, network: Network, batch: Batch) -> tuple[Any, Any]:
    """Mean loss and mean penalty."""
    how = course.penalised
    loss, _ = LOSSES[how.loss]
    options = {**batch.random, **how.options}
    penalty = evaluate(how.penalty, network, batch.x, batch.y, **options)
    return loss(network.forward(batch.x), batch.y).mean(), penalty


def _adam(learning_rate: float) -> Callable[[Array], Array]:
    """Δθ = −η m̂ / (√v̂ + ε), Kingma and Ba 2015: m̂, v̂ the means of g and g², bias-corrected."""
    beta_1, beta_2, epsilon = 0.9, 0.999, 1e-8
    m: Any = 0.0
    v: Any = 0.0
    t = 0

    def step(g: Array) -> Array:
        nonlocal m, v, t
        t += 1
        m = beta_1 * m + (1 - beta_1) * g
        v = beta_2 * v + (1 - beta_2) * g * g
        return -learning_rate * (m / (1 - beta_1**t)) / (np.sqrt(v / (1 - beta_2**t)) + epsilon)

    return step


_STEPS: dict[str, Callable[[float], Callable[[Array], Array]]] = {
    "sgd": lambda learning_rate: lambda g: -learning_rate * g,
    "adam": _adam,
}
