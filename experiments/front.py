"""The front page's figure: accuracy against training images, and what the toy problem learns.

    python experiments/front.py docs/images/front.png

The left panel shows the runs in ``experiments/results``. For the right panel a network is trained
three times, in half a minute.
"""

import argparse
import csv
from collections import defaultdict
from pathlib import Path

import numpy as np
from gradreg_experiments.reproduce.figure import colour_of, show_sizes
from gradreg_experiments.result import BEST, FAINT, PLAIN, TOO_LARGE, TRUTH, drawing, render
from gradreg_experiments.toy import problem
from gradreg_experiments.toy.training import sweep
from matplotlib.axes import Axes

RESULTS = Path(__file__).parent / "results"
ARMS = ("baseline", "SpectReg", "DoubleBack")
LAMS, SEED, ITERATIONS = (0.0, 0.01, 1.0), 1, 10_000


def accuracies(path: Path) -> dict[tuple[str, int], list[float]]:
    """Test errors in per cent, by arm and number of images."""
    found = defaultdict[tuple[str, int], list[float]](list)
    with path.open(encoding="utf-8") as file:
        for row in csv.DictReader(file):
            if row["arm"] in ARMS:
                size = int(row["row"].split()[0])
                found[row["arm"], size].append(100 - 100 * float(row["test"]))
    return found


def draw_sizes(axes: Axes, found: dict[tuple[str, int], list[float]]) -> None:
    """A line through the means of each arm, a dot for each seed."""
    sizes = sorted({size for _, size in found})
    for arm in ARMS:
        label, colour = "without" if arm == "baseline" else arm, colour_of(arm)
        means = [np.mean(found[arm, size]) for size in sizes]
        axes.plot(sizes, means, "-", color=colour, label=label, lw=1.6)
        for size in sizes:
            errors = found[arm, size]
            axes.plot([size] * len(errors), errors, "o", ms=3, mew=0, color=colour, alpha=0.5)
    show_sizes(axes, sizes)
    seeds = sorted({len(errors) for errors in found.values()})
    axes.set_title(f"MNIST, {seeds[0]} to {seeds[-1]} seeds: gains at every size")
    axes.legend()


def draw_toy(axes: Axes) -> None:
    """Draw what SpectReg learns from 100 noisy points."""
    found = sweep("SpectReg", LAMS, problem.Setting((SEED,), ITERATIONS))
    x, y = (a.numpy()[:, 0] for a in problem.training_data(SEED))
    grid, truth = problem.grid()
    axes.plot(x, y, "o", ms=2.5, mew=0, color=FAINT)
    axes.plot(grid, truth, "--", color=TRUTH, lw=0.9, label="truth", zorder=5)
    for r, (lam, colour) in enumerate(zip(LAMS, (PLAIN, BEST, TOO_LARGE), strict=True)):
        g = found.model.network(r)(grid.float()).detach()
        axes.plot(grid, g, color=colour, label=f"λ = {lam:g}", lw=1.4)
    axes.set(xlim=(-1, 1), ylim=(-2.4, 1.5), xlabel="x")
    axes.set_title("SpectReg, sin 5x: 0.01 smooths, 1 flattens")
    axes.legend(loc="lower left", ncols=2, columnspacing=0.8)


def main() -> None:
    """Write the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    out = parser.parse_args().out
    with drawing(2.8, width=6.4) as fig:
        left, right = fig.subplots(1, 2)
        draw_sizes(left, accuracies(RESULTS / "train-size.csv"))
        draw_toy(right)
    out.write_bytes(render(fig)["png"])


if __name__ == "__main__":
    main()
