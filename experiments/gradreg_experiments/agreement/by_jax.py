"""Training by JAX: a compiled step of `jax.grad`, and the optimisers of optax."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from gradreg_experiments.agreement.course import Batch, Course, Trajectory, trajectory
from gradreg_verify.frameworks.jax import to_jax
from gradreg_verify.frameworks.jax.programs import FUNCTIONS

_LOSSES: dict[str, Callable[..., Any]] = {
    "cross_entropy": optax.softmax_cross_entropy_with_integer_labels,
    "mean_squared_error": lambda z, y: (z - y) ** 2,
}
OPTIMISERS: dict[str, Any] = {"sgd": optax.sgd, "adam": optax.adam}


def train(course: Course) -> Trajectory:
    """Train as a user would, in float64."""
    with jax.enable_x64(True):
        how, (f, params) = course.penalised, to_jax(course.network)
        optimiser = OPTIMISERS[course.optimiser](course.learning_rate)

        def objective(params: Any, batch: Batch) -> tuple[Any, tuple[Any, Any]]:
            x, y, random = batch
            loss = _LOSSES[how.loss](f(params, x), y).mean()
            penalty = FUNCTIONS[how.penalty](f, params, x, y, **random, **how.options)
            return loss + how.lam * penalty, (loss, penalty)

        @jax.jit
        def step(params: Any, state: Any, batch: Batch) -> tuple[Any, Any, Any]:
            gradient, terms = jax.grad(objective, has_aux=True)(params, batch)
            updates, state = optimiser.update(gradient, state, params)
            return optax.apply_updates(params, updates), state, terms

        state, points = optimiser.init(params), []
        for batch in course.batches:
            params, state, (loss, penalty) = step(params, state, jax.tree.map(jnp.asarray, batch))
            theta = np.concatenate([np.asarray(p).ravel() for p in params])
            points.append((float(loss), float(penalty), theta))
    return trajectory(points)
