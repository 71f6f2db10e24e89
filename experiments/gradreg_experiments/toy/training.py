"""A sweep: every λ and seed of one penalty, trained at once."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from gradreg_torch import DoubleBack, Penalty, SpectReg, objective
from numpy.typing import NDArray
from torch import Tensor

from gradreg_experiments.common import learning_rate
from gradreg_experiments.stack import Stack
from gradreg_experiments.toy import problem
from gradreg_verify.frameworks.torch import one_thread


@dataclass(frozen=True)
class Sweep:
    """Trained networks: ``model.network(s * len(lams) + l)`` has seed s and λ l.

    Parameters
    ----------
    penalty : str
        A name of `PENALTIES`.
    lams : tuple of float
        λ.
    setting : Setting
        Seeds, iterations, dtype and device.
    model : Stack
        All networks.
    mse : array (s, l)
        Mean squared errors on the noiseless grid.
    """

    penalty: str
    lams: tuple[float, ...]
    setting: problem.Setting
    model: Stack
    mse: NDArray[np.float64]


def _half_squared_error(g: Tensor, y: Tensor) -> Tensor:
    """L = ½ (g − y)² of every example, (n,)."""
    return (g - y).square().flatten(1).sum(dim=1) / 2


def _summed_loss(g: Tensor, y: Tensor) -> Tensor:
    """Σ_n L: the scripts add the losses of a batch up, where they average the penalty."""
    return _half_squared_error(g, y).sum()


PENALTIES: dict[str, Callable[[Tensor], Penalty]] = {
    "SpectReg": lambda r: SpectReg(probes=r, reduction="none"),
    "DoubleBack": lambda _: DoubleBack(loss=_half_squared_error, reduction="none"),
}


def sweep(
    penalty: str,
    lams: Sequence[float],
    setting: problem.Setting,
    progress: Callable[[int], None] = lambda _: None,
) -> Sweep:
    """Minimise Σ_batch L + λ · mean_batch penalty for every seed and λ.

    Parameters
    ----------
    penalty : str
        A name of `PENALTIES`.
    lams : sequence of float
        λ ≥ 0.
    setting : Setting
        Seeds, iterations, dtype and device.
    progress : callable
        Called with the number of iterations done.

    Returns
    -------
    Sweep
    """
    seeds, L = setting.seeds, len(lams)
    model = Stack([problem.network(seed, setting.task.dimension) for seed in seeds for _ in lams])
    model.to(setting.device, setting.dtype)
    lam = torch.tensor(lams, dtype=setting.dtype, device=setting.device).repeat(len(seeds))
    optimiser = torch.optim.Adam(model.parameters(), lr=problem.LEARNING_RATE, fused=True)
    with one_thread():
        for step, (x, y, r) in zip(range(setting.iterations), _steps(setting, L), strict=False):
            for group in optimiser.param_groups:
                group["lr"] = learning_rate(problem.LEARNING_RATE, step, setting.iterations)
            loss, values, _ = objective(model, x, y, PENALTIES[penalty](r), loss=_summed_loss)
            total = loss + lam @ values.reshape(model.size, -1).mean(dim=1)
            optimiser.zero_grad()
            total.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            progress(step + 1)
    return Sweep(penalty, tuple(lams), setting, model, _grid_error(model, setting))


def _steps(setting: problem.Setting, L: int) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
    """x (sLB, k), y (sLB, 1) and probes r (sLB, 1, 1) of one step after the other.

    The batch and the probe of a seed are repeated for each of the L networks of the seed.
    """
    data = [problem.training_data(seed, setting.task) for seed in setting.seeds]
    x, y = (torch.stack(tensors) for tensors in zip(*data, strict=True))
    streams = [
        zip(problem.batches(seed), problem.probes(seed), strict=True) for seed in setting.seeds
    ]
    seed = torch.arange(len(setting.seeds))[:, None]

    def per_row(a: Tensor) -> Tensor:
        return a.repeat_interleave(L, dim=0).flatten(0, 1).to(setting.device, setting.dtype)

    while True:
        batch, r = (torch.stack(tensors) for tensors in zip(*map(next, streams), strict=True))
        yield (
            per_row(x[seed, batch]).requires_grad_(),
            per_row(y[seed, batch]),
            per_row(r[:, :, None].expand(-1, problem.BATCH, 1))[:, :, None],
        )


def _grid_error(model: Stack, setting: problem.Setting) -> NDArray[np.float64]:
    """Mean of (g − f)² over the grid, f the function without noise, (s, l)."""
    x, y = (a.to(setting.device, setting.dtype) for a in problem.grid(setting.task))
    with torch.no_grad():
        g = model(x.repeat(model.size, 1)).reshape(model.size, -1)
    mse = (g - y.T).square().mean(dim=1).reshape(len(setting.seeds), -1)
    return np.asarray(mse.cpu().double().numpy())
