"""A result in the forms in which it is kept: every run, what made the runs, the figure."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from gradreg_experiments.files import ESCAPED
from gradreg_experiments.style import render
from gradreg_verify.files import write_atomically


def write_result(
    folder: Path, stem: str, csv: str, record: Mapping[str, Any], figure: Figure | None
) -> list[Path]:
    """Write ``stem.csv``, ``.json``, ``.png`` and ``.svg``, each whole, and return the paths.

    Without a figure an earlier figure is removed: it would not show this result.
    """
    text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
    contents = {"csv": csv.encode(), "json": text.encode(errors=ESCAPED)}
    if figure is None:
        for suffix in ("png", "svg"):
            (folder / f"{stem}.{suffix}").unlink(missing_ok=True)
    else:
        contents |= render(figure)
    for suffix, content in contents.items():
        write_atomically(folder / f"{stem}.{suffix}", content)
    return [folder / f"{stem}.{suffix}" for suffix in contents]
