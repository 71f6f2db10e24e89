"""The files of an experiment: CSV, JSON, PNG and SVG."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure

from gradreg_experiments.files import made_here
from gradreg_experiments.reproduce.experiments import Experiment
from gradreg_experiments.reproduce.figure import figure
from gradreg_experiments.reproduce.statistics import Row
from gradreg_experiments.reproduce.table import CAPTION, HEAD, cells, runs
from gradreg_experiments.result import or_null, write_result
from gradreg_experiments.runs import Run, Store
from gradreg_verify.files import read_json

_SOURCE = "Varga, Csiszárik, Zombori, poster of arXiv:1712.09936"


@dataclass(frozen=True)
class Result:
    """The result of an experiment, in the forms in which it is kept.

    Parameters
    ----------
    experiment : Experiment
        What was run.
    head, texts : sequence
        The table.
    rows : sequence of mapping
        Settings and figures of every row of the table, for JSON.
    runs : sequence of sequence
        Every run, for CSV; the head comes first.
    figure : Figure or None
        The figure of the table; None if nothing of the table was run.
    caption : str
        What the columns are.
    """

    experiment: Experiment
    head: Sequence[str]
    texts: Sequence[Sequence[str]]
    rows: Sequence[Mapping[str, Any]]
    runs: Sequence[Sequence[Any]]
    figure: Figure | None
    caption: str


def accuracies(experiment: Experiment, found: Sequence[Row]) -> Result:
    """The result of an experiment with a table of test accuracies."""
    return Result(
        experiment,
        HEAD,
        [cells(row) for row in found],
        [_for_json(row) for row in found],
        [*runs(found)],
        figure(experiment.title, found),
        CAPTION,
    )


def write(out: Path, result: Result, command: str, made: list[dict[str, Any]]) -> list[Path]:
    """Write every file whole, and return the paths; `made` is what `made_with` gives."""
    experiment = result.experiment
    record = {
        "experiment": experiment.name,
        "title": experiment.title,
        "command": command,
        **made_here(),
        "departures": [result.caption, *experiment.departures],
        "runs": made,
        "source": _SOURCE,
        "table": {"head": result.head, "rows": result.texts},
        "rows": result.rows,
    }
    return write_result(out, experiment.name, result.runs, record, result.figure)


def replaced(out: Path, result: Result) -> str | None:
    """The command of the table that is there, if the new table lacks a row that was run."""
    path = out / f"{result.experiment.name}.json"

    def command(old: Any) -> str | None:
        settings = [row["setting"] for row in old["rows"] if row["seeds"]]
        gone = [s for s in settings if s not in [row["setting"] for row in result.rows]]
        return str(old["command"]) if gone else None

    with suppress(ValueError):  # there is no earlier table to lose
        return read_json(path, "a table", command, finite=False)
    return None


def made_with(store: Store, runs: Iterable[Run]) -> list[dict[str, Any]]:
    """Versions, machine and verification of the runs that are there, and how many runs have each.
    Runs may be older than the table.
    """
    found = {run.id: run for run in runs if store.find(run) is not None}.values()
    texts = Counter(json.dumps(store.read(run, _maker), sort_keys=True) for run in found)
    return [{"runs": number} | json.loads(text) for text, number in texts.items()]


def _maker(record: Mapping[str, Any]) -> dict[str, Any]:
    """Say what a run was made with."""
    return {
        "versions": record["versions"],
        "machine": record["machine"],
        "processes": record.get("processes", 1),  # earlier records do not say
        "verified": str(record["verified"]).split(": ", 1)[-1],  # the outcome, undated
    }


def _for_json(row: Row) -> dict[str, Any]:
    """A row, with the whole setting except the seed."""
    setting = {name: value for name, value in row.cell.run.chosen.items() if name != "seed"}
    poster = row.cell.poster or (None, None)
    d = row.difference
    return {
        "row": row.cell.row,
        "arm": row.cell.arm,
        "figure": row.cell.figure,
        "setting": setting,
        "seeds": sorted(row.outcomes),
        "seconds": round(sum(outcome.seconds for outcome in row.outcomes.values())),
        "mean": or_null(row.mean, ".6g"),
        "sd": or_null(row.sd, ".6g"),
        "poster": poster[0],
        "poster_sd": poster[1],
        "difference": None if d is None else {k: or_null(v, ".6g") for k, v in asdict(d).items()},
        "poster_difference": or_null(row.poster_difference, ".6g"),
        "diverged": [seed for seed, o in row.outcomes.items() if o.diverged is not None],
    }
