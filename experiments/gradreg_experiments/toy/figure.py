"""One figure of the toy problem: functions learnt, their Jacobian norm, error against λ."""

from collections.abc import Sequence

import matplotlib
import numpy as np
import torch
from gradreg_torch import frobreg
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from gradreg_experiments.style import BEST, DOUBLEBACK, FAINT, PLAIN, STYLE, TOO_LARGE, TRUTH
from gradreg_experiments.toy import problem
from gradreg_experiments.toy.table import POSTER, UNIT
from gradreg_experiments.toy.training import Sweep

Array = NDArray[np.float64]

SLOPE = 0.25  # the smallest slope shown: its logarithm falls without end where it is 0


def figure(sweeps: Sequence[Sweep]) -> Figure:
    """Three panels; SpectReg's sweep comes first and begins with λ = 0.

    The functions are those of the seed with the median error at λ = 0 (the lower one of two), at
    λ = 0, the best λ of the mean over seeds, and the largest.
    """
    first = sweeps[0]
    s = int(np.argsort(first.mse[:, 0], kind="stable")[(len(first.mse) - 1) // 2])
    best = 1 + int(first.mse[:, 1:].mean(axis=0).argmin())
    curves = [(0, PLAIN, ""), (best, BEST, ", best"), (len(first.lams) - 1, TOO_LARGE, "")]
    with matplotlib.rc_context(STYLE):
        fig = Figure(figsize=(8.5, 2.9), layout="constrained")
        functions, slopes, errors = fig.subplots(1, 3, width_ratios=(1, 1, 1.15))
        draw_data(functions, slopes, first.setting.seeds[s])
        for l, colour, remark in curves:
            label = f"λ = {first.lams[l]:g}{remark}"
            draw_network(functions, slopes, first, s * len(first.lams) + l, colour, label)
        slopes.set(xlim=(-1, 1), yscale="log", ylim=(SLOPE, None))
        slopes.set_yticks([0.3, 1, 3, 10, 30], ["0.3", "1", "3", "10", "30"], minor=False)
        slopes.minorticks_off()
        functions.legend(loc="lower left", ncols=2, columnspacing=1)
        draw_errors(errors, sweeps)
    return fig


def draw_data(functions: Axes, slopes: Axes, seed: int) -> None:
    """Training points, sin 5x, |5 cos 5x|, and a tick for every training point."""
    x, y = (a.numpy()[:, 0] for a in problem.training_data(seed))
    grid = problem.grid()[0].numpy()[:, 0]
    functions.plot(x, y, "o", ms=2.2, mew=0, color=FAINT, label="training points", zorder=1)
    functions.plot(grid, np.sin(5 * grid), "--", color=TRUTH, lw=0.9, label="sin 5x", zorder=5)
    functions.set(title="(a) functions learnt", xlabel="x", ylim=(-2.35, 1.45), xlim=(-1, 1))
    slopes.plot(grid, abs(5 * np.cos(5 * grid)), "--", color=TRUTH, lw=0.9, zorder=5)
    slopes.plot(x, np.full_like(x, SLOPE), "|", ms=5, mew=0.5, color=FAINT, clip_on=False, zorder=1)
    slopes.set(title="(b) Jacobian norm |dg/dx|", xlabel="x, a tick at every training point")


def draw_network(
    functions: Axes, slopes: Axes, sweep: Sweep, r: int, colour: str, label: str
) -> None:
    """Network r's g and |dg/dx|, the latter with a dot at the training points."""
    network = sweep.model.network(r).double().cpu()
    seed = sweep.setting.seeds[r // len(sweep.lams)]
    grid, points = problem.grid()[0], problem.training_data(seed)[0]
    g, slope = value_and_slope(network, grid)
    functions.plot(grid.numpy()[:, 0], g, color=colour, label=label)
    slopes.plot(grid.numpy()[:, 0], slope, color=colour, lw=0.8)
    at_points = value_and_slope(network, points)[1]
    slopes.plot(points.numpy()[:, 0], at_points, "o", ms=2, mew=0, color=colour)


def value_and_slope(network: torch.nn.Module, x: Tensor) -> tuple[Array, Array]:
    """g (n,) and |dg/dx| (n,), which for one output is the root of FrobReg."""
    with torch.no_grad():
        g, squared = network(x)[:, 0], frobreg(network, x, reduction="none")
    return g.numpy(), squared.sqrt().numpy()


def draw_errors(axes: Axes, sweeps: Sequence[Sweep]) -> None:
    """MSE against λ, a dot a seed and a line through the means; the poster's row rescaled."""
    plain = sweeps[0].mse[:, 0] / UNIT
    factor = plain.mean() / POSTER[0]
    zero = min(lam for s in sweeps for lam in s.lams if lam) / 4
    for s, colour in zip(sweeps, (BEST, DOUBLEBACK), strict=False):
        keep = [l for l, lam in enumerate(s.lams) if lam]
        lams, mse = np.array(s.lams)[keep], s.mse[:, keep] / UNIT
        axes.plot(np.broadcast_to(lams, mse.shape), mse, "o", ms=2, mew=0, color=colour, alpha=0.5)
        axes.plot(lams, mse.mean(axis=0), color=colour, label=s.penalty)
    axes.plot(np.full(len(plain), zero), plain, "o", ms=2, mew=0, color=PLAIN, alpha=0.5)
    axes.plot([zero], [plain.mean()], "_", ms=9, mew=1.5, color=PLAIN)
    poster = np.array([(lam, factor * mse) for lam, mse in POSTER.items() if lam])
    axes.plot(*poster.T, ":", color=FAINT, label=f"poster, × {factor:.0f}")
    axes.set(xscale="log", yscale="log", title="(c) test MSE (1e-5)")
    axes.set(xlabel="λ (dots: seeds, lines: means)")
    axes.legend(loc="upper left")
    powers = [lam for s in sweeps for lam in s.lams if lam and np.log10(lam).is_integer()]
    ticks = sorted({zero, *powers})
    axes.set_xticks(ticks, ["0", *(f"{lam:g}" for lam in ticks[1:])])
    axes.minorticks_off()
