"""Models that a wrapper must not hide, on two processes: a part of ranks.py."""

from collections.abc import Callable
from typing import Any

import gradreg_torch as gt
import torch
import torch.distributed as dist
from ranks import (
    WRAPPERS,
    Step,
    X,
    Y,
    attempt,
    beside_the_wrapper,
    gradient,
    loss_first,
    network,
    objective,
    penalty,
)
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


def joined(step: Step) -> float:
    """Two steps on one rank and three on the other: the error of the second."""
    model, rank = DDP(network()), dist.get_rank()
    rows, error = slice(4 * rank, 4 * rank + 4), torch.nan
    with model.join():
        for i in range(3 - rank):
            model.zero_grad()
            step(model, rows, "reverse").backward()
            if i == 1:
                alone = network()
                step(alone, slice(8), "reverse").backward()
                error = float((gradient(model) - gradient(alone)).abs().max())
    return error


def by_differences(model: nn.Module, rows: slice, mode: str) -> Tensor:
    """Three passes."""
    del mode
    return objective(model, rows, "finite_difference")


def in_part(model: nn.Module, rows: slice, mode: str) -> Tensor:
    """Two passes."""
    penalty = gt.SpectReg(mode=mode, fraction=0.5, generator=torch.Generator())
    return gt.objective(model, X[rows], Y[rows], penalty).penalty


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
    for step in (objective, beside_the_wrapper, loss_first, by_differences, in_part):
        found[f"join · {step.__name__}"] = attempt(lambda s=step: joined(s))
    found["hook"] = attempt(hooked)
    for name in ("DDP", "FSDP2, staying"):
        found[f"function, {name}"] = attempt(lambda w=WRAPPERS[name]: constant_slope(w))
    return found
