"""What a smooth policy costs: a PPO step with one probe, and with the exact penalty.

python benchmarks/policy.py --out benchmarks/results/policy_cpu.json
"""

from functools import partial
from typing import Any

import gradreg_torch as gt
import timing
import torch
from step_cost import Trainer, measured
from torch import Tensor, nn

from gradreg_verify.frameworks.registry import load

# States and actions, as large as those of MuJoCo's HalfCheetah and Humanoid.
ROBOTS = {"small robot": (17, 6), "humanoid": (348, 17)}
BATCH, WIDTH = 2048, 256

Taken = tuple[Tensor, Tensor, Tensor]  # actions, their log-likelihoods, advantages


class Policy(nn.Module):
    """A Gaussian policy: two hidden layers give the mean, a parameter the log deviations."""

    def __init__(self, states: int, actions: int) -> None:
        super().__init__()
        hidden = nn.Linear(states, WIDTH), nn.Tanh(), nn.Linear(WIDTH, WIDTH), nn.Tanh()
        self.mean = nn.Sequential(*hidden, nn.Linear(WIDTH, actions))
        self.log_std = nn.Parameter(torch.full((actions,), -0.5))


class PPO(Trainer):
    """A policy, the states and actions of a batch, and an optimiser."""

    def __init__(self, robot: str, device: str) -> None:
        states, actions = ROBOTS[robot]
        torch.manual_seed(0)
        self.model = Policy(states, actions).to(device)
        self.x = torch.randn(BATCH, states, device=device)
        normal = torch.distributions.Normal(self.model.mean(self.x), self.model.log_std.exp())
        drawn = normal.sample()
        old = normal.log_prob(drawn).sum(1).detach()
        self.y = (drawn, old, torch.randn(BATCH, device=device))
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=timing.RATE)


def ppo(mean: Tensor, std: Tensor, taken: Taken) -> Tensor:
    """The clipped surrogate loss."""
    actions, old, advantages = taken
    ratio = (torch.distributions.Normal(mean, std).log_prob(actions).sum(1) - old).exp()
    return -torch.minimum(ratio * advantages, ratio.clamp(0.8, 1.2) * advantages).mean()


def plain(policy: Policy, states: Tensor, taken: Taken) -> Tensor:
    """The loss without a penalty."""
    return ppo(policy.mean(states), policy.log_std.exp(), taken)


def smooth(penalty: Any, policy: Policy, states: Tensor, taken: Taken) -> Tensor:
    """The loss with ‖Σ^(−½)J‖²_F, or one probe of it, from the same forward pass."""
    states = states.clone().requires_grad_()
    mean, std = policy.mean(states), policy.log_std.exp()
    return ppo(mean, std, taken) + timing.LAM * penalty(mean / std.detach(), states)


def rows(robot: str, turns: int, device: str) -> list[dict[str, Any]]:
    """Time and memory of a step of each variant, relative to the plain step."""
    trainer, g = PPO(robot, device), torch.Generator(device).manual_seed(0)
    losses = {
        "plain": (plain, 1),
        "one probe": (partial(smooth, partial(gt.spectreg, generator=g)), 1),
        "exact": (partial(smooth, gt.frobreg), 1),
    }
    states, actions = ROBOTS[robot]
    policy = {"network": robot, "states": states, "m": actions}
    return [policy | row for row in measured(trainer, losses, turns)]


def main() -> None:
    """Measure all robots, print, write."""
    given = timing.checked(timing.parser(__doc__), load("torch"))
    torch.set_num_threads(1)
    found = [row for robot in ROBOTS for row in rows(robot, given.turns, given.device)]
    device = "one CPU thread" if given.device == "cpu" else given.device
    timing.finish(timing.provenance("torch", torch.__version__, device), found, given.out)


if __name__ == "__main__":
    main()
