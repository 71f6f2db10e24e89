"""Training by torch: double backward, and the optimisers of `torch.optim`."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, mse_loss
from torch.nn.utils import parameters_to_vector

from gradreg_experiments.agreement.course import Course, Trajectory, trajectory
from gradreg_ref.typing import Rng
from gradreg_verify.frameworks.torch import one_thread, to_torch
from gradreg_verify.frameworks.torch.backend import FUNCTIONS

_LOSSES: dict[str, Callable[..., Tensor]] = {
    "cross_entropy": cross_entropy,
    "mean_squared_error": mse_loss,
}
_OPTIMISERS: dict[str, Any] = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}


@one_thread()
def train(course: Course, *, nudge: float = 0.0, rng: Rng | None = None) -> Trajectory:
    """Train as a user would. With a `nudge` a step begins at θ (1 + nudge · ξ), ξ in [−1, 1]."""
    how, module = course.penalised, to_torch(course.network, dtype=torch.float64)
    optimiser = _OPTIMISERS[course.optimiser](module.parameters(), lr=course.learning_rate)
    points = []
    for x, y, random in course.batches:
        inputs, labels = torch.from_numpy(x), torch.from_numpy(y)
        options = {k: torch.from_numpy(r) for k, r in random.items()} | dict(how.options)
        if rng is not None:
            with torch.no_grad():
                for p in module.parameters():
                    p.mul_(torch.from_numpy(1 + nudge * rng.uniform(-1, 1, p.shape)))
        loss = _LOSSES[how.loss](module(inputs), labels)
        penalty = FUNCTIONS[how.penalty](module, inputs, labels, **options)
        optimiser.zero_grad()
        (loss + how.lam * penalty).backward()
        optimiser.step()
        theta = parameters_to_vector(module.parameters()).detach().numpy()
        points.append((loss.item(), penalty.item(), theta))
    return trajectory(points)
