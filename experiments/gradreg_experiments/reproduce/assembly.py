"""The table of an experiment on the data sets asked for, with the changes asked for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from gradreg_experiments.data import DATA_SETS
from gradreg_experiments.data.loading import find
from gradreg_experiments.reproduce import departures
from gradreg_experiments.reproduce.experiments import EXPERIMENTS, Cell, Experiment
from gradreg_experiments.reproduce.protocols import PROTOCOLS, Protocol, with_tuned
from gradreg_experiments.reproduce.request import Request
from gradreg_experiments.reproduce.settings import SETTINGS
from gradreg_experiments.runs.description import Run
from gradreg_ref import checks

EMBEDDED = "digits"
DATA = {
    "weight-decay": ("mnist", "cifar-10", "cifar-100"),
    "confidence-penalty": ("mnist", "cifar-10", "cifar-100"),
    "dropout-batchnorm": ("mnist",),
    "train-size": ("mnist",),
    "semi-supervised": ("mnist",),
    "local-global": ("mnist",),
    "initialisation": ("mnist",),
    "probes": ("mnist", "cifar-10", "cifar-100"),
    "tinyimagenet": ("tiny-imagenet-200",),
}


def assembled(name: str, request: Request) -> Experiment:
    """The experiment on every data set asked for; it names every change."""
    protocol = PROTOCOLS[checks.choice("--protocol", request.protocol, PROTOCOLS)]
    chosen = tuple(dict.fromkeys(request.data)) or there(name, request.folder, request.protocol)
    for data in chosen:
        checks.choice(f"--on of {name}", data, known(name, request.protocol))
    made = [with_tuned(EXPERIMENTS[name](data), protocol) for data in chosen]
    if len(made) > 1:
        made = [of_data(one, data) for one, data in zip(made, chosen, strict=True)]
    reduced = "" if request.protocol == "paper" else f" ({request.protocol} protocol)"
    cells = tuple(cell for one in made for cell in one.cells)
    published = replace(made[0], title=f"{made[0].title}{reduced}", cells=cells)
    changed = with_runs(published, lambda run: with_changes(run, protocol, request))
    if request.width is not None and all(c.run.network != "residual" for c in changed.cells):
        raise ValueError(
            f"expected no --width for {name} on {', '.join(chosen)}, where no network is a "
            f"residual net; got {request.width}"
        )
    chosen_cells(changed, request)  # refuses a row or arm that is not there
    sentences = departures.of(published, changed, request.folder)
    return replace(changed, departures=(*published.departures, *sentences))


def of_data(experiment: Experiment, data: str) -> Experiment:
    """The rows of a data set; a row that does not begin with the name of the data set gets it."""
    title = SETTINGS[data].title

    def named(row: str) -> str:
        return row if row.startswith(title) else f"{title}, {row}"

    cells = tuple(replace(cell, row=named(cell.row)) for cell in experiment.cells)
    return replace(experiment, cells=cells)


def with_changes(run: Run, protocol: Protocol, request: Request) -> Run:
    """The run with the protocol, iterations, width, device and precision asked for."""
    changes = {**protocol.changes, **request.changes}
    if request.iterations is not None:
        changes["iterations"] = request.iterations
    if request.width is not None and run.network == "residual":
        changes["width"] = checks.count("width", request.width)
    return replace(run, **changes)


def with_runs(experiment: Experiment, change: Callable[[Run], Run]) -> Experiment:
    """The same table with other runs."""
    cells = tuple(replace(cell, run=change(cell.run)) for cell in experiment.cells)
    return replace(experiment, cells=cells)


def known(name: str, protocol: str = "paper") -> tuple[str, ...]:
    """The data sets that an experiment can be made with."""
    if only := PROTOCOLS[protocol].data:
        if not (made := tuple(data for data in DATA[name] if data in only)):
            raise ValueError(f"expected --protocol paper for {name}, got {protocol!r}")
        return made
    return DATA[name] if name == "tinyimagenet" else (*DATA[name], EMBEDDED)


def there(name: str, folder: Path | None, protocol: str = "paper") -> tuple[str, ...]:
    """The data sets of an experiment that the folder has; the embedded one without a folder."""
    every = known(name, protocol)
    if folder is None and EMBEDDED in every:
        return (EMBEDDED,)
    wanted = tuple(data for data in every if data != EMBEDDED)
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


def chosen_cells(experiment: Experiment, request: Request) -> tuple[Cell, ...]:
    """The cells that are trained."""
    cells = experiment.cells
    for name in request.rows:
        checks.choice(f"--row of {experiment.name}", name, {cell.row: None for cell in cells})
    for name in request.arms:
        checks.choice(f"--arm of {experiment.name}", name, {cell.arm: None for cell in cells})
    rows = request.rows or {cell.row for cell in cells}
    arms = request.arms or {cell.arm for cell in cells}
    chosen = tuple(cell for cell in cells if cell.row in rows and cell.arm in arms)
    if not chosen:
        there = "; ".join(
            f"{row!r}: {checks.quoted(c.arm for c in cells if c.row == row)}" for row in rows
        )
        raise ValueError(f"expected an --arm that the --row has, got none of {there}")
    return chosen
