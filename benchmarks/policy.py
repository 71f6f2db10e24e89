"""What a smooth policy costs: a PPO step with one probe, and with the exact penalty.

python benchmarks/policy.py --out benchmarks/results/policy_cpu.json
"""

import argparse
import sys
from functools import partial
from pathlib import Path
from typing import Any

import gradreg_torch as gt
import torch
from torch import Tensor, nn

sys.path.insert(0, str(Path(__file__).parent))
import timing
from step_cost import Trainer, peak_bytes, seconds

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
        "plain": plain,
        "one probe": partial(smooth, partial(gt.spectreg, generator=g)),
        "exact": partial(smooth, gt.frobreg),
    }
    for loss in losses.values():
        seconds(trainer, loss, 3)  # warm up
    clocks = {name: partial(seconds, trainer, loss, 1) for name, loss in losses.items()}
    taken = timing.take_turns(clocks, turns)
    memory = {name: peak_bytes(trainer, loss) for name, loss in losses.items()}
    states, actions = ROBOTS[robot]
    return [
        {"network": robot, "states": states, "m": actions, "variant": name}
        | timing.summary(times, taken["plain"])
        | {"memory_ratio": round(memory[name] / memory["plain"], 3)}
        for name, times in taken.items()
    ]


def main() -> None:
    """Measure all robots, print, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--turns", type=int, default=21)
    parser.add_argument("--out", type=Path)
    given = timing.checked(parser, load("torch"))
    torch.set_num_threads(1)
    found = [row for robot in ROBOTS for row in rows(robot, given.turns, given.device)]
    for row in found:
        print(row)
    if given.out:
        device = "one CPU thread" if given.device == "cpu" else given.device
        timing.save(
            timing.provenance("torch", torch.__version__, device) | {"rows": found}, given.out
        )


if __name__ == "__main__":
    main()
