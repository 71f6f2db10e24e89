"""Training by torch: double backward, and the optimisers of `torch.optim`."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, mse_loss

from gradreg_experiments.agreement.course import Course, Trajectory, trajectory
from gradreg_ref.typing import Array, Rng
from gradreg_verify.frameworks.torch import to_torch
from gradreg_verify.frameworks.torch.backend import FUNCTIONS

_LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "mean_squared_error": mse_loss,
}
_OPTIMISERS: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


def train(course: Course, *, nudge: float = 0.0, rng: Rng | None = None) -> Trajectory:
    """Train as a user would. With a `nudge` a step begins at θ (1 + nudge · ξ), ξ in [−1, 1]."""
    how, module = course.penalised, to_torch(course.network, dtype=torch.float64)
    optimiser = _OPTIMISERS[course.optimiser](module.parameters(), lr=course.learning_rate)
    points = []
    for x, y, random in course.batches:
        inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
        options = {k: torch.from_numpy(r) for k, r in random.items()} | dict(how.options)
        if rng is not None:
            _multiply(module, nudge, rng)
        loss = _LOSSES[how.loss](module(inputs), labels)
        penalty = FUNCTIONS[how.penalty](module, inputs, labels, **options)
        optimiser.zero_grad()
        (loss + how.lam * penalty).backward()
        optimiser.step()
        points.append((loss.item(), penalty.item(), _parameters(module)))
    return trajectory(points)


def _parameters(module: nn.Module) -> Array:
    """θ, flat, in the order of the reference."""
    return np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])


@torch.no_grad()
def _multiply(module: nn.Module, nudge: float, rng: Rng) -> None:
    """Multiply every parameter by 1 + nudge · ξ."""
    for p in module.parameters():
        p.mul_(torch.from_numpy(1 + nudge * rng.uniform(-1, 1, p.shape)))
