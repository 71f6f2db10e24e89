"""The table beside the poster's table, in a terminal; a line for each run in CSV."""

from collections.abc import Iterator, Sequence
from typing import Any

from rich.table import Table
from rich.text import Text

from gradreg_experiments.reproduce.statistics import Difference, Row
from gradreg_experiments.terminal import fitting, or_dash

_NOT_RUN = "NOT RUN"
CAPTION = (
    "Test accuracy in per cent: mean and standard deviation over n seeds (divisor n − 1). The "
    "poster has 10 seeds (divisor 10); – marks what the poster does not have. Difference: the mean "
    "difference to the baseline over the seeds that both arms have (their number stands in "
    "brackets where it is not n), ± half the width of Student's 95 % interval. A * marks an "
    "interval without 0. Each p is for one difference alone, however many differences there are."
)
HEAD = ("", "arm", "λ or β", "n", "test (sd)", "poster (sd)", "difference", "p", "poster's")
_FIGURES = ("test", "top5", "validation", "train", "loss", "seconds", "stacked", "diverged")


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Table:
    """The table as printed: the name of a row is a line above the arms of the row.

    The table has as many other columns as the width has room for.
    """
    out = fitting(head[1:], [cells for _, *cells in rows], width, words="arm")
    out.title, out.title_justify = title, "left"
    for before, (group, arm, *cells) in zip([None, *rows], rows, strict=False):
        if before is None or before[0] != group:
            out.add_row(Text(group, "bold"))
        out.add_row(*[arm, *cells][: len(out.columns)])
    return out


def cells(row: Row) -> list[str]:
    """The texts under `HEAD`."""
    run, poster = row.cell.run, row.cell.poster
    lam = run.lam or run.confidence
    return [
        row.cell.row,
        row.cell.arm,
        f"{lam:g}" if lam else "–",
        str(len(row.outcomes)),
        _with_sd(row.mean, row.sd) + _diverged(row) if row.outcomes else _NOT_RUN,
        _with_sd(*poster) if poster else "–",
        *_differences(row.difference, len(row.outcomes)),
        or_dash(row.poster_difference, "+.2f"),
    ]


def _with_sd(mean: float, sd: float | None) -> str:
    """The mean, and the deviation where there is one."""
    return f"{mean:.2f}" if sd is None or sd != sd else f"{mean:.2f} ({sd:.2f})"


def _diverged(row: Row) -> str:
    """Count the runs that ended because the loss was not finite."""
    number = sum(outcome.diverged is not None for outcome in row.outcomes.values())
    return f", {number} diverged" if number else ""


def _differences(d: Difference | None, n: int) -> tuple[str, str]:
    """The mean difference with the interval, the number of seeds if it is not n, and p."""
    if d is None:
        return "", ""
    of = "" if d.n == n else f" ({d.n})"
    if d.low != d.low:
        return f"{d.mean:+.2f}{of}", "–"
    star = " *" if d.significant else ""
    return f"{d.mean:+.2f} ± {(d.high - d.low) / 2:.2f}{of}{star}", f"{d.p:.2g}"


def runs(rows: Sequence[Row]) -> Iterator[list[Any]]:
    """A head, and a line for each run of each row."""
    yield ["row", "arm", "figure", "seed", *_FIGURES, "id"]
    for row in rows:
        for seed, outcome in sorted(row.outcomes.items()):
            values = [getattr(outcome, name) for name in _FIGURES]
            figures = [round(value, 6) if isinstance(value, float) else value for value in values]
            yield [row.cell.row, row.cell.arm, row.cell.figure, seed, *figures, outcome.run.id]
