"""A result in the forms in which it is kept: every run, what made the runs, the figure."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from gradreg_experiments.files import ESCAPED
from gradreg_experiments.style import render
from gradreg_verify.files import write_atomically


def or_null(value: Any, form: str) -> Any:
    """A float, rounded as the format says; None in place of NaN and infinity, as in JSON."""
    if not isinstance(value, float):
        return value
    return float(format(value, form)) if abs(value) < float("inf") else None


def write_result(
    folder: Path,
    stem: str,
    table: Iterable[Sequence[Any]],
    record: Mapping[str, Any],
    figure: Figure | None,
) -> list[Path]:
    """Write ``stem.csv``, ``.json``, ``.png`` and ``.svg``, each whole, and return the paths.

    The table begins with its head. Without a figure an earlier figure is removed: it would not
    show this result.
    """
    csv.writer(lines := io.StringIO(), lineterminator="\n").writerows(table)
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    contents = {"csv": lines.getvalue().encode(), "json": text.encode(errors=ESCAPED)}
    if figure is None:
        for suffix in ("png", "svg"):
            (folder / f"{stem}.{suffix}").unlink(missing_ok=True)
    else:
        contents |= render(figure)
    for suffix, content in contents.items():
        write_atomically(folder / f"{stem}.{suffix}", content)
    return [folder / f"{stem}.{suffix}" for suffix in contents]
