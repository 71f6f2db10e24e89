"""A figure for each table: dots are seeds, bars their means, diamonds the poster's."""

from collections.abc import Sequence

import matplotlib
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradreg_experiments.reproduce.statistics import BASELINE, Row, percent
from gradreg_experiments.style import FAINT, STYLE, TRUTH

COLOURS = {  # Okabe and Ito's
    BASELINE: "#D55E00",
    "SpectReg": "#0072B2",
    "DoubleBack": "#CC79A7",
    "CP": "#009E73",
    "JacReg": "#E69F00",
    "SpectReg, unlabelled too": "#56B4E9",
}


def figure(title: str, rows: Sequence[Row]) -> Figure:
    """A group for each row of the table, or a curve over sizes."""
    with matplotlib.rc_context(STYLE):
        fig = Figure(figsize=(8.5, 3.2), layout="constrained")
        axes = fig.subplots()
        run = [row for row in rows if row.outcomes]
        if not run:
            axes.text(0.5, 0.5, "NOT RUN", ha="center")
            axes.set_axis_off()
        elif sizes_of_one_data_set(run):
            draw_curves(axes, run)
        else:
            draw_groups(axes, run)
        axes.set(title=title, ylabel="test accuracy, %")
        if run:
            fig.legend(loc="outside right upper")
    return fig


def sizes_of_one_data_set(rows: Sequence[Row]) -> bool:
    """Whether there is a curve to draw."""
    data = {row.cell.run.data for row in rows}
    return len(data) == 1 and all(row.cell.row.endswith(" images") for row in rows)


def draw_groups(axes: Axes, rows: Sequence[Row]) -> None:
    """A place on the x axis for each arm of each row."""
    groups, named, x, ticks = list(dict.fromkeys(r.cell.row for r in rows)), set[str](), 0.0, []
    for group in groups:
        own, start = [row for row in rows if row.cell.row == group], x
        for row in own:
            colour, arm = COLOURS.get(row.cell.arm, TRUTH), row.cell.arm
            values = percent(row.cell, row.outcomes)
            axes.plot(np.full(len(values), x), values, "o", ms=3, mew=0, color=colour, alpha=0.6)
            label = "" if arm in named else arm
            axes.plot([x], [values.mean()], "_", ms=13, mew=2, color=colour, label=label)
            named.add(arm)
            if row.cell.poster:
                axes.plot([x + 0.25], [row.cell.poster[0]], "D", mfc="none", mec=colour, ms=5)
            x += 1
        ticks.append((start + x - 1) / 2)
        x += 1
    if any(row.cell.poster for row in rows):
        axes.plot([], [], "D", mfc="none", mec=FAINT, ms=5, label="poster")
    axes.set_xticks(ticks, [group.replace(", ", "\n") for group in groups])


def draw_curves(axes: Axes, rows: Sequence[Row]) -> None:
    """Accuracy against the number of training images, a line for each arm."""
    for arm in dict.fromkeys(row.cell.arm for row in rows):
        own = [row for row in rows if row.cell.arm == arm]
        sizes, colour = [row.cell.run.train for row in own], COLOURS.get(arm, TRUTH)
        axes.plot(sizes, [row.mean for row in own], "-", color=colour, label=arm)
        for size, row in zip(sizes, own, strict=True):
            values = percent(row.cell, row.outcomes)
            axes.plot(np.full(len(values), size), values, "o", ms=2.5, mew=0, color=colour)
    sizes = sorted({row.cell.run.train for row in rows})
    axes.set(xscale="log", xlabel="training images")
    axes.set_xticks(sizes, [str(size) for size in sizes])
    axes.minorticks_off()
