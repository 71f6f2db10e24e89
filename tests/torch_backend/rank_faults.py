"""Models that a wrapper must not hide, on two processes: a part of ranks.py."""

from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist
from ranks import WRAPPERS, Step, X, attempt, gradient, network, objective, penalty
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel as DDP


class Unused(nn.Module):
    """Layers that no output depends on, on one rank or on both."""

    def __init__(self) -> None:
        super().__init__()
        self.both, self.never = nn.ModuleList([network(), network()]), nn.Linear(3, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        """The first network for the first half of the batch."""
        return self.both[0 if torch.equal(x[0], X[0]) else 1](x)


def unused(step: Step) -> float:
    """Parameters without a gradient, and those that only one rank has a gradient of."""
    alone, model, rank = Unused(), DDP(Unused(), find_unused_parameters=True), dist.get_rank()
    halves = slice(4), slice(4, 8)
    for rows in halves:
        (step(alone, rows, "reverse") / 2).backward()
    for _ in range(2):
        model.zero_grad()
        step(model, halves[rank], "reverse").backward()
    return float((gradient(model) - gradient(alone)).abs().max())


def hooked() -> Tensor:
    """A hook of a module that scales gradients."""
    model = network()
    model[0].register_full_backward_hook(lambda _, g, __: (3 * g[0],))
    return penalty(DDP(model), slice(4), "reverse")


class Cube(torch.autograd.Function):
    """t³ with a constant slope."""

    @staticmethod
    def forward(ctx: Any, t: Tensor) -> Tensor:
        """Saves 3t²."""
        ctx.save_for_backward(3 * t * t)
        return t**3

    @staticmethod
    def backward(ctx: Any, g: Tensor) -> Tensor:
        """The slope has no graph."""
        return g * ctx.saved_tensors[0]


class Cubes(nn.Module):
    """A layer of it."""

    def forward(self, h: Tensor) -> Tensor:
        """t³."""
        return Cube.apply(h)


def constant_slope(wrap: Callable[[nn.Module], nn.Module]) -> Tensor:
    """A function whose second derivative is wrong."""
    return penalty(wrap(network(Cubes)), slice(4), "reverse")


def faults() -> dict[str, object]:
    """By name, an error or a refusal."""
    found: dict[str, object] = {
        f"DDP, really unused · {step.__name__}": unused(step) for step in (objective, penalty)
    }
    found["hook"] = attempt(hooked)
    for name in ("DDP", "FSDP2, staying"):
        found[f"function, {name}"] = attempt(lambda w=WRAPPERS[name]: constant_slope(w))
    return found
