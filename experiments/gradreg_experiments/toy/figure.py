"""One figure of the toy problem: functions learnt, their Jacobian norm, error against λ."""

from collections.abc import Sequence

import numpy as np
import torch
from gradreg_torch import frobreg
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import Tensor

from gradreg_experiments.result import BEST, DOUBLEBACK, FAINT, PLAIN, TOO_LARGE, TRUTH, drawing
from gradreg_experiments.toy import problem
from gradreg_experiments.toy.table import POSTER, UNIT
from gradreg_experiments.toy.training import Sweep

_Array = NDArray[np.float64]

_SLOPE = 0.25  # the smallest slope shown: its logarithm falls without end where it is 0


def figure(sweeps: Sequence[Sweep]) -> Figure:
    """The functions learnt and their slopes, where x is a number, and the error against λ.

    SpectReg's sweep comes first and begins with λ = 0. The functions are those of the seed with
    the median error at λ = 0 (the lower one of two), at λ = 0, the best λ of the mean over seeds,
    and the largest.
    """
    first = sweeps[0]
    best = 1 + int(first.mse[:, 1:].mean(axis=0).argmin())
    line = first.setting.task.dimension == 1
    with drawing(5.2 if line else 2.9) as fig:
        if line:
            panels = fig.subplot_mosaic([["a", "b"], ["c", "c"]])
            _draw_functions(panels["a"], panels["b"], first, best)
            errors, letter = panels["c"], "(c) "
        else:
            errors, letter = fig.subplots(), ""
        _draw_errors(errors, sweeps)
        n, lam = len(first.setting.seeds), f"λ = {first.lams[best]:g}"
        ratio = (first.mse[:, best] / first.mse[:, 0]).mean()
        seeds = f"{n} seed{'s' * (n > 1)}"
        errors.set_title(
            f"{letter}SpectReg, {lam}: MSE × {ratio:.2f} ({seeds}, {first.setting.task})"
        )
    return fig


def _draw_functions(functions: Axes, slopes: Axes, sweep: Sweep, best: int) -> None:
    """Panels (a) and (b): g and |dg/dx| of three networks; dots are training points."""
    s = int(np.argsort(sweep.mse[:, 0], kind="stable")[(len(sweep.mse) - 1) // 2])
    task, seed, last = sweep.setting.task, sweep.setting.seeds[s], len(sweep.lams) - 1
    (grid, _), (points, _) = problem.grid(task), problem.training_data(seed, task)
    _draw_data(functions, slopes, seed, task)
    means = []
    for l, colour, remark in ((0, PLAIN, ""), (best, BEST, ", best"), (last, TOO_LARGE, "")):
        network = sweep.model.network(s * len(sweep.lams) + l).double().cpu()
        (g, slope), (_, at_points) = (_value_and_slope(network, x) for x in (grid, points))
        functions.plot(grid[:, 0], g, color=colour, label=f"λ = {sweep.lams[l]:g}{remark}")
        slopes.plot(grid[:, 0], slope, color=colour, lw=0.8)
        slopes.plot(points[:, 0], at_points, "o", ms=2, mew=0, color=colour)
        means.append(float(slope.mean()))
    functions.set(title=f"(a) learnt by SpectReg, seed {seed}", xlabel="x")
    slopes.set(title=f"(b) |dg/dx|, mean {means[0]:.2g} → {means[1]:.2g}")
    slopes.set(xlim=(-1, 1), yscale="log", ylim=(_SLOPE, None))
    slopes.set_yticks([0.3, 1, 3, 10, 30], ["0.3", "1", "3", "10", "30"], minor=False)
    slopes.minorticks_off()
    functions.legend(loc="lower left", ncols=2, columnspacing=0.8, fontsize=7.5)


def _draw_data(functions: Axes, slopes: Axes, seed: int, task: problem.Task) -> None:
    """Training points, the function and its slope, and a tick for every training point."""
    x, y = (a.numpy()[:, 0] for a in problem.training_data(seed, task))
    grid, target = (a.numpy()[:, 0] for a in problem.grid(task))
    functions.plot(x, y, "o", ms=2.5, mew=0, color=FAINT, label="points", zorder=1)
    functions.plot(grid, target, "--", color=TRUTH, lw=0.9, label="truth", zorder=5)
    low, high = target.min(), target.max()
    functions.set(ylim=(low - 0.8 * (high - low), high + 0.25 * (high - low)), xlim=(-1, 1))
    slope = abs(np.gradient(target, grid))
    slopes.plot(grid, slope, "--", color=TRUTH, lw=0.9, zorder=5)
    slopes.plot(
        x, np.full_like(x, _SLOPE), "|", ms=5, mew=0.5, color=FAINT, clip_on=False, zorder=1
    )
    slopes.set(xlabel="x, a tick at every training point")


def _value_and_slope(network: torch.nn.Module, x: Tensor) -> tuple[_Array, _Array]:
    """g (n,) and |dg/dx| (n,), which for one output is the root of FrobReg."""
    with torch.no_grad():
        g, squared = network(x)[:, 0], frobreg(network, x, reduction="none")
    return g.numpy(), squared.sqrt().numpy()


def _draw_errors(axes: Axes, sweeps: Sequence[Sweep]) -> None:
    """Draw MSE against λ: dots for seeds, a line through the means, the poster's row rescaled."""
    plain = sweeps[0].mse[:, 0] / UNIT
    factor = plain.mean() / POSTER[0]
    zero = min(lam for s in sweeps for lam in s.lams if lam) / 4
    for s, colour in zip(sweeps, (BEST, DOUBLEBACK), strict=False):
        keep = [l for l, lam in enumerate(s.lams) if lam]
        lams, mse = np.array(s.lams)[keep], s.mse[:, keep] / UNIT
        axes.plot(np.broadcast_to(lams, mse.shape), mse, "o", ms=3, mew=0, color=colour, alpha=0.5)
        axes.plot(lams, mse.mean(axis=0), color=colour, label=s.penalty)
    axes.plot(np.full(len(plain), zero), plain, "o", ms=2, mew=0, color=PLAIN, alpha=0.5)
    axes.plot([zero], [plain.mean()], "_", ms=9, mew=1.5, color=PLAIN)
    poster = np.array([(lam, factor * mse) for lam, mse in POSTER.items() if lam])
    axes.plot(*poster.T, ":", color=FAINT, label=f"poster, × {factor:.3g}")
    axes.set(xscale="log", yscale="log", ylabel="test MSE, 1e-5")
    axes.set(xlabel="λ (dots: seeds, lines: means)")
    axes.legend(loc="upper left")
    powers = [lam for s in sweeps for lam in s.lams if lam and np.log10(lam).is_integer()]
    ticks = sorted({zero, *powers})
    axes.set_xticks(ticks, ["0", *(f"{lam:g}" for lam in ticks[1:])])
    axes.minorticks_off()
