"""A figure for each table. The title has the result; dots are seeds, bars means, ◇ the poster."""

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gradreg_experiments.data import DATA_SETS
from gradreg_experiments.reproduce.statistics import BASELINE, Row, grouped
from gradreg_experiments.result import BEST, DOUBLEBACK, FAINT, PLAIN, TRUTH, drawing, entitle

_COLOURS = {  # Okabe and Ito's
    BASELINE: PLAIN,
    "SpectReg": BEST,
    "DoubleBack": DOUBLEBACK,
    "CP": "#009E73",
    "JacReg": "#E69F00",
}
_LINE = 0.21  # inches


def colour_of(arm: str) -> str:
    """The colour of the penalty of an arm, whatever the variant."""
    return _COLOURS.get(arm.split(",")[0], TRUTH)


def figure(title: str, rows: Sequence[Row]) -> Figure | None:
    """A line for each arm of each row, or a curve over sizes; None where nothing was run."""
    run = [row for row in rows if row.outcomes]
    if not run:
        return None
    curves = _sizes_of_one_data_set(run)
    panels = list(grouped(run, lambda row: row.cell.run.data).values())
    lines = [len(own) + len({row.cell.row for row in own}) for own in panels]
    with drawing(3.3 if curves else _LINE * (sum(lines) + 2 * len(panels)) + 0.6) as fig:
        if curves:
            _draw_curves(fig.subplots(), run)
        else:  # a panel for each data set: accuracies of two data sets do not compare
            axes = fig.subplots(len(panels), 1, height_ratios=lines, squeeze=False)[:, 0]
            for panel, own in zip(axes, panels, strict=True):
                _draw_groups(panel, own)
            axes[-1].set_xlabel("test accuracy, %")
        entitle(fig, f"{title}: {message(run)}", _what(run))
    return fig


def message(rows: Sequence[Row]) -> str:
    """Which arms gain beyond doubt (95 %), and in how many of the rows that have such an arm."""
    arms = dict[tuple[int, int], list[str]]()
    compared = grouped([row for row in rows if row.difference], lambda row: row.cell.arm)
    for arm, own in compared.items():
        if better := sum(row.difference.low > 0 for row in own if row.difference):
            arms.setdefault((better, len(own)), []).append(arm)
    said = [
        ("every arm" if len(arms[k, n]) == len(compared) > 2 else " and ".join(arms[k, n]))
        + (f" in {k} of {n} rows" if n > 1 else "")
        for k, n in sorted(arms, reverse=True)
    ]
    return f"a clear gain of {', '.join(said)}" if said else "no gain is clear of the noise"


def _what(rows: Sequence[Row]) -> str:
    """Data and number of seeds, and how to read the figure."""
    marks = "lines" if _sizes_of_one_data_set(rows) else "bars"
    titles = dict.fromkeys(DATA_SETS[row.cell.run.data].title for row in rows)
    data = " and ".join(title.split(" (")[0] for title in titles)  # without "(python version)"
    seeds = sorted({len(row.outcomes) for row in rows})
    number = f"{seeds[0]}" if len(seeds) == 1 else f"{seeds[0]} to {seeds[-1]}"
    poster = ", ◇: poster" if any(row.cell.poster for row in rows) else ""
    return f"{data}, {number} seed{'s' * (seeds != [1])} (dots: seeds, {marks}: means{poster})"


def _sizes_of_one_data_set(rows: Sequence[Row]) -> bool:
    """Whether there is a curve to draw."""
    data = {row.cell.run.data for row in rows}
    return len(data) == 1 and all(row.cell.row.endswith(" images") for row in rows)


def _draw_groups(axes: Axes, rows: Sequence[Row]) -> None:
    """A line for each arm under the name of the row; a dotted line is the mean of the baseline."""
    y, labels = 0, list[tuple[int, str]]()
    for group, own in grouped(rows, lambda row: row.cell.row).items():
        axes.text(0, y, f" {group}", transform=axes.get_yaxis_transform(), va="center")
        for row in own:
            y += 1
            labels.append((y, row.cell.arm))
            _draw_line(axes, row, y)
            if row.cell.arm == BASELINE:
                axes.plot([row.mean, row.mean], [y, y + len(own) - 1], ":", lw=0.8, color=FAINT)
        y += 1
    axes.set_yticks([at for at, _ in labels], [arm for _, arm in labels])
    axes.set_ylim(y - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)


def _draw_line(axes: Axes, row: Row, y: int) -> None:
    """The seeds, their mean, and the mean on the poster."""
    colour, values = colour_of(row.cell.arm), row.percent()
    axes.plot(values, np.full(len(values), y), "o", ms=4, mew=0, color=colour, alpha=0.5)
    axes.plot([values.mean()], [y], "|", ms=11, mew=2.5, color=colour)
    if row.cell.poster:
        axes.plot([row.cell.poster[0]], [y], "D", mfc="none", mec=TRUTH, mew=1, ms=6)


def _draw_curves(axes: Axes, rows: Sequence[Row]) -> None:
    """Accuracy against the number of training images, on a logarithmic scale of the error."""
    for place, (arm, own) in enumerate(grouped(rows, lambda row: row.cell.arm).items()):
        sizes, colour = [row.cell.run.train for row in own], colour_of(arm)
        axes.plot(sizes, [100 - row.mean for row in own], "-", color=colour, label=arm)
        for size, row in zip(sizes, own, strict=True):
            errors = 100 - row.percent()
            beside = np.full(len(errors), size * 1.03**place)  # or the arms' dots hide each other
            axes.plot(beside, errors, "o", ms=3, mew=0, color=colour, alpha=0.5)
    show_sizes(axes, sorted({row.cell.run.train for row in rows}))
    axes.legend()


def show_sizes(axes: Axes, sizes: Sequence[int]) -> None:
    """Both axes logarithmic, with accuracies written at the errors."""
    axes.set(xscale="log", yscale="log", xlabel="training images", ylabel="test accuracy, %")
    axes.minorticks_off()
    axes.set_xticks(sizes, [str(n) if n < 1000 else f"{n / 1000:g}k" for n in sizes])
    low, high = axes.get_ylim()
    errors = [e for e in (0.5, 1, 2, 3, 5, 10, 20, 30, 50) if low <= e <= high]
    axes.set_yticks(errors, [f"{100 - e:g}" for e in errors])
    axes.invert_yaxis()
