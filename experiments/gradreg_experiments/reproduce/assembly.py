"""The table of an experiment on the data sets asked for, with the changes asked for."""

from argparse import Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from gradreg_experiments.data import DATA_SETS
from gradreg_experiments.data.loading import find
from gradreg_experiments.reproduce import DATA, departures
from gradreg_experiments.reproduce.experiments import EXPERIMENTS, Cell, Experiment
from gradreg_experiments.reproduce.settings import SETTINGS
from gradreg_experiments.runs import Run
from gradreg_ref import checks

_EMBEDDED = "digits"
# How much of the paper's training is done: fields of every run, in place of the paper's.
_PROTOCOLS: dict[str, dict[str, Any]] = {
    "paper": {},
    # A CPU does this in an afternoon. It is long enough for the network to fit its training images:
    # only then does a penalty have an effect.
    "reduced": {"iterations": 1500, "learning_rate": 0.05, "width": 1, "blocks": 1, "halved": True},
}
_REDUCED = ("cifar-10", "cifar-100")  # what the reduced protocol is made for


def assembled(name: str, request: Namespace) -> Experiment:
    """The experiment on every data set asked for; it names every change.

    The request has the options of ``gradreg reproduce``.
    """
    checks.choice("--protocol", request.protocol, _PROTOCOLS)
    chosen = tuple(dict.fromkeys(request.on)) or _there(name, request.data, request.protocol)
    for data in chosen:
        checks.choice(f"--on of {name}", data, known(name, request.protocol))
    made = [EXPERIMENTS[name](data) for data in chosen]
    cells = [cell for one in made for cell in one.cells]
    if len(made) > 1:
        cells = [replace(cell, row=_with_data(cell)) for cell in cells]
    reduced = "" if request.protocol == "paper" else f" ({request.protocol} protocol)"
    published = replace(made[0], title=f"{made[0].title}{reduced}", cells=tuple(cells))
    changed = with_runs(published, lambda run: _with_changes(run, request))
    if request.width is not None and all(c.run.network != "residual" for c in changed.cells):
        raise ValueError(
            f"expected no --width for {name} on {', '.join(chosen)}, where no network is a "
            f"residual net; got {request.width}"
        )
    chosen_cells(changed, request)  # refuses a row or arm that is not there
    sentences = departures.of(published, changed, request.data)
    return replace(changed, departures=(*published.departures, *sentences))


def _with_data(cell: Cell) -> str:
    """The row of a cell, which begins with the name of its data set."""
    title = SETTINGS[cell.run.data].title
    return cell.row if cell.row.startswith(title) else f"{title}, {cell.row}"


def _with_changes(run: Run, request: Namespace) -> Run:
    """The run with the protocol, iterations, width, device and precision asked for."""
    changes = {name: getattr(request, name) for name in ("device", "amp", "compile")}
    changes |= _PROTOCOLS[request.protocol]
    if request.iterations is not None:
        changes["iterations"] = request.iterations
    if request.width is not None and run.network == "residual":
        changes["width"] = request.width
    return replace(run, **changes)


def with_runs(experiment: Experiment, change: Callable[[Run], Run]) -> Experiment:
    """The table of an experiment, with every run changed."""
    cells = tuple(replace(cell, run=change(cell.run)) for cell in experiment.cells)
    return replace(experiment, cells=cells)


def known(name: str, protocol: str = "paper") -> tuple[str, ...]:
    """The data sets that an experiment can be made with."""
    if protocol == "reduced":
        if not (made := tuple(data for data in DATA[name] if data in _REDUCED)):
            raise ValueError(f"expected --protocol paper for {name}, got {protocol!r}")
        return made
    return DATA[name] if name == "tinyimagenet" else (*DATA[name], _EMBEDDED)


def _there(name: str, folder: Path | None, protocol: str) -> tuple[str, ...]:
    """The data sets of an experiment that the folder has; the embedded one without a folder."""
    every = known(name, protocol)
    if folder is None and _EMBEDDED in every:
        return (_EMBEDDED,)
    wanted = tuple(data for data in every if data != _EMBEDDED)
    if folder is None:
        source = DATA_SETS[wanted[0]].source
        raise ValueError(f"expected --data with {wanted[0]} for {name}, got none; see {source}")
    found = tuple(data for data in wanted if find(DATA_SETS[data], folder) is not None)
    if not found:
        raise ValueError(
            f"expected {' or '.join(wanted)} in {folder}, got none (gradreg data check {folder} "
            "says what is there); without --data the embedded digits are taken"
        )
    return found


def chosen_cells(experiment: Experiment, request: Namespace) -> tuple[Cell, ...]:
    """The cells that are trained."""
    cells = experiment.cells
    for option in ("row", "arm"):
        there = dict.fromkeys(getattr(cell, option) for cell in cells)
        for name in getattr(request, option):
            checks.choice(f"--{option} of {experiment.name}", name, there)
    rows = request.row or {cell.row for cell in cells}
    arms = request.arm or {cell.arm for cell in cells}
    chosen = tuple(cell for cell in cells if cell.row in rows and cell.arm in arms)
    if not chosen:
        arms_of = "; ".join(
            f"{row!r}: {checks.quoted(c.arm for c in cells if c.row == row)}" for row in rows
        )
        raise ValueError(f"expected an --arm that the --row has, got none of {arms_of}")
    return chosen
