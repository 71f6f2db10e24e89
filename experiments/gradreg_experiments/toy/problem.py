"""The paper's toy problem: y = sin 5x + 0.1 ε on [−1, 1], 100 points, 5 hidden ReLU layers of 64.

The published history of the authors' code has other functions and noises, too. A `Task` is one.

Nothing here is random by itself: every draw comes from the generator of a seed and a purpose, in
float64 on the CPU, so that data, initialisation, batches and probes of a seed are the same for
every λ and penalty (the comparison is paired), and for every dtype and device.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from math import isfinite, isqrt
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from gradreg_ref import checks

POINTS, BATCH, TEST_POINTS = 100, 50, 900
_NOISE, LEARNING_RATE = 0.1, 0.01
HIDDEN = (64, 64, 64, 64, 64)

_Purpose = Literal["data", "initialisation", "batches", "probes"]
PURPOSES: tuple[_Purpose, ...] = get_args(_Purpose)

# In words, coordinates of x, and the function of x (n, coordinates).
PROBLEMS: dict[str, tuple[str, int, Callable[[Tensor], Tensor]]] = {
    "sin": ("sin 5x", 1, lambda x: torch.sin(5 * x)),
    "square": ("x²", 1, lambda x: x.square()),
    "radial": ("x₁² + x₂²", 2, lambda x: x.square().sum(dim=1, keepdim=True)),
    "step": ("1 for x > 0, else 0", 1, lambda x: (x > 0).to(x.dtype)),
}


@dataclass(frozen=True)
class Task:
    """What is learnt.

    Parameters
    ----------
    problem : str
        A name of `PROBLEMS`.
    noise : float
        Standard deviation σ of the noise that is added to the labels.
    """

    problem: str = "sin"
    noise: float = _NOISE

    def __post_init__(self) -> None:
        checks.choice("--problem", self.problem, PROBLEMS)
        if not (isfinite(self.noise) and self.noise >= 0):
            raise ValueError(f"expected --noise to be a number >= 0, got {self.noise}")

    def __str__(self) -> str:
        return f"{PROBLEMS[self.problem][0]}, noise {self.noise:g}"

    @property
    def dimension(self) -> int:
        """Coordinates of x."""
        return PROBLEMS[self.problem][1]

    def target(self, x: Tensor) -> Tensor:
        """The function without noise, (n, 1)."""
        return PROBLEMS[self.problem][2](x)


PAPER = Task()


@dataclass(frozen=True)
class Setting:
    """What a run of the experiment may vary.

    Parameters
    ----------
    seeds : tuple of int
        Each seed has its data set, initialisation, order of batches and sequence of probes.
    iterations : int
        The paper's scripts take 10,000.
    dtype, device
        Of the computation.
    task : Task
        The function and its noise.
    """

    seeds: tuple[int, ...]
    iterations: int
    dtype: torch.dtype = torch.float32
    device: str = "cpu"
    task: Task = PAPER


def generator(seed: int, purpose: _Purpose) -> torch.Generator:
    """Return a stream of random numbers that no other seed or purpose has."""
    return torch.Generator().manual_seed(len(PURPOSES) * seed + PURPOSES.index(purpose))


def training_data(seed: int, task: Task = PAPER) -> tuple[Tensor, Tensor]:
    """x (100, k) uniform on [−1, 1]ᵏ and y (100, 1), with noise."""
    g = generator(seed, "data")
    x = 2 * torch.rand(POINTS, task.dimension, generator=g, dtype=torch.float64) - 1
    noise = torch.randn(POINTS, 1, generator=g, dtype=torch.float64)
    return x, task.target(x) + task.noise * noise


def grid(task: Task = PAPER) -> tuple[Tensor, Tensor]:
    """A grid of 900 points of [−1, 1]ᵏ (in the plane 30 × 30), without noise."""
    if task.dimension == 1:
        x = torch.linspace(-1, 1, TEST_POINTS, dtype=torch.float64)[:, None]
    else:
        side = torch.linspace(-1, 1, isqrt(TEST_POINTS), dtype=torch.float64)
        x = torch.cartesian_prod(side, side)
    return x, task.target(x)


def network(seed: int, dimension: int = 1) -> nn.Sequential:
    """5 hidden ReLU layers of 64; W ~ N(0, 2 / fan-in) (He et al. 2015), b = 0."""
    g, layers = generator(seed, "initialisation"), list[nn.Module]()
    for fan_in, fan_out in pairwise((dimension, *HIDDEN, 1)):
        # On "meta" at first, as the default initialisation would draw from the global generator.
        linear = nn.Linear(fan_in, fan_out, dtype=torch.float64, device="meta")
        linear = linear.to_empty(device="cpu")
        nn.init.kaiming_normal_(linear.weight, nonlinearity="relu", generator=g)
        nn.init.zeros_(linear.bias)
        layers += [linear, nn.ReLU()]
    return nn.Sequential(*layers[:-1])


def batches(seed: int) -> Iterator[Tensor]:
    """Indices (50,) of one batch after the other. An epoch has two batches, shuffled anew."""
    g = generator(seed, "batches")
    while True:
        yield from torch.randperm(POINTS, generator=g).reshape(-1, BATCH)


def probes(seed: int) -> Iterator[Tensor]:
    """The r ~ N(0, I_m) of SpectReg, here with m = 1: (1,), one a step, shared by the batch.

    The authors' scripts do that. With one output FrobReg is exact at the same cost, so
    `gradreg_torch.spectreg` refuses to draw, and gets the paper's probes as an argument.
    """
    g = generator(seed, "probes")
    while True:
        yield torch.randn(1, generator=g, dtype=torch.float64)
