"""The style of figures, and the files of a result: runs, versions and the figure."""

import csv
import io
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from textwrap import fill
from typing import Any

import matplotlib.style
from matplotlib.figure import Figure

from gradreg_experiments.files import ESCAPED
from gradreg_verify.files import write_atomically

# Okabe and Ito's colours, told apart by the colour-blind, and different in lightness.
PLAIN, BEST, TOO_LARGE, DOUBLEBACK = "#D55E00", "#0072B2", "#56B4E9", "#CC79A7"
TRUTH, FAINT = "#222222", "#999999"
_WIDTH = 5.2  # inches: letters are then legible where a page shows the figure 400 pixels wide
_Table = Iterable[Sequence[Any]]  # for CSV; the head comes first
_LETTERS = 64  # of a title, in a line
_STYLE = "gradreg_experiments.figures"  # figures.mplstyle


@contextmanager
def drawing(height: float, width: float = _WIDTH) -> Iterator[Figure]:
    """Give an empty figure; what is drawn within has the style."""
    with matplotlib.style.context(_STYLE):
        yield Figure(figsize=(width, height), layout="constrained")


def entitle(fig: Figure, *lines: str) -> None:
    """Write the title above a figure, in lines that fit the width."""
    text = "\n".join(fill(line, _LETTERS) for line in lines)
    fig.suptitle(text, x=0.01, ha="left")


def render(fig: Figure) -> dict[str, bytes]:
    """The figure as PNG, sharp at twice its width, and as SVG; the same bytes each time."""
    out = {}
    with matplotlib.style.context(_STYLE):
        for suffix, metadata in (("png", {"Software": None}), ("svg", {"Date": None})):
            fig.savefig(buffer := io.BytesIO(), format=suffix, dpi=180, metadata=metadata)
            out[suffix] = buffer.getvalue()
    return out


def or_null(value: Any, form: str) -> Any:
    """A float, rounded as the format says; None in place of NaN and infinity, as in JSON."""
    if not isinstance(value, float):
        return value
    return float(format(value, form)) if abs(value) < float("inf") else None


def write_result(
    folder: Path, stem: str, table: _Table, record: dict[str, Any], figure: Figure | None
) -> list[Path]:
    """Write ``stem.json``, ``.csv``, ``.png`` and ``.svg``, each whole, and return the paths.

    `require_writable` knows a result by its record, so the record is written first. The table
    begins with its head. Without a figure an earlier figure is removed: it would not
    show this result.
    """
    csv.writer(lines := io.StringIO(), lineterminator="\n").writerows(table)
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    contents = {"json": text.encode(errors=ESCAPED), "csv": lines.getvalue().encode()}
    if figure is None:
        for suffix in ("png", "svg"):
            (folder / f"{stem}.{suffix}").unlink(missing_ok=True)
    else:
        contents |= render(figure)
    for suffix, content in contents.items():
        write_atomically(folder / f"{stem}.{suffix}", content)
    return [folder / f"{stem}.{suffix}" for suffix in contents]
