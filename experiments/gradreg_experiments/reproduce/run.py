"""``gradreg reproduce``: verify, run what is missing, print the table, write the files."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from gradreg_experiments.data import DATA_SETS
from gradreg_experiments.data.loading import find
from gradreg_experiments.files import require_writable
from gradreg_experiments.progress import progress
from gradreg_experiments.quickstart import run as run_toy
from gradreg_experiments.reproduce import budget
from gradreg_experiments.reproduce.experiments import EXPERIMENTS, Cell, Experiment
from gradreg_experiments.reproduce.local_global import measured
from gradreg_experiments.reproduce.local_global import result as norms_result
from gradreg_experiments.reproduce.page import write_page
from gradreg_experiments.reproduce.record import accuracies, write
from gradreg_experiments.reproduce.statistics import rows
from gradreg_experiments.reproduce.table import table
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.sweep import Group, missing, sweep
from gradreg_experiments.verification import verified
from gradreg_ref import checks

EMBEDDED, FILE_WIDTH = "digits", 100


@dataclass(frozen=True)
class Request:
    """What was asked for on the command line.

    Parameters
    ----------
    out : Path
        Folder for tables and figures, and ``runs/`` in it for single results.
    folder : Path or None
        With the published data sets; without, the embedded one is taken.
    data : tuple of str
        Data sets; empty for all of the experiment's that the folder has.
    rows, arms : tuple of str
        What is trained of a table; empty for all. The rest is marked NOT RUN, unless it is there.
    seeds : int or None
        How many, from 1; 10, as the paper.
    iterations : int or None
        In place of the paper's.
    width : int or None
        Of the residual net, in place of the paper's.
    budget : float or None
        Seconds; decides on seeds and iterations.
    jobs : int
        Processes.
    stack : bool
        Seeds of a cell trained as one model.
    tables : bool
        Run nothing: tables of what is there.
    changes : dict
        Fields of every run: device, amp, compile.
    command : str
        The command line.
    """

    out: Path
    folder: Path | None
    data: tuple[str, ...]
    rows: tuple[str, ...]
    arms: tuple[str, ...]
    seeds: int | None
    iterations: int | None
    width: int | None
    budget: float | None
    jobs: int
    stack: bool
    tables: bool
    changes: dict[str, Any]
    command: str


def reproduce(names: Sequence[str], request: Request, console: Console | None = None) -> int:
    """0; 1 if a claim fails, and nothing is trained; 2 if a run could not be made."""
    console = console or wide(Console())
    for name, value in (("jobs", request.jobs), ("seeds", request.seeds)):
        if value is not None:
            checks.count(name, value)
    experiments = {name: assembled(name, request) for name in names if name != "toy"}
    require_writable(request.out)
    verdicts: dict[str, str] = {}
    if not request.tables:
        device = request.changes.get("device", "cpu")
        say(console, f"Checking every claim for the torch backend on {device}: up to a minute.")
        report = verified(device, console)
        verdicts = {result.claim.id: result.verdict for result in report.results}
        if not report.ok:
            say(console, f"Not trained: failed, as shown above: {', '.join(report.failed)}.")
            return 1
    failures = list[str]()
    for name in names:
        if name in experiments:
            failures += one_experiment(experiments[name], request, verdicts, console)
        elif not request.tables:
            toy(request, console)
    say(console, f"Page: {write_page(request.out)}")
    for sentence in failures:
        say(console, f"Not run: {sentence}")
    return 2 if failures else 0


def toy(request: Request, console: Console) -> None:
    """The main job's experiment, in full; it verifies for itself."""
    device = request.changes.get("device", "cpu")
    run_toy(
        out=request.out,
        full=True,
        device=device,
        seeds=request.seeds,
        iterations=request.iterations,
        console=console,
    )


def assembled(name: str, request: Request) -> Experiment:
    """The experiment on every data set asked for, with what was changed."""
    chosen = request.data or there(name, request.folder)
    for data in chosen:
        checks.choice(f"--on of {name}", data, known(name))
    made = [EXPERIMENTS[name](data) for data in chosen]
    changes = dict(request.changes)
    if request.iterations is not None:
        changes["iterations"] = request.iterations
    cells = tuple(cell for one in made for cell in one.cells)
    departures = list(made[0].departures)
    if EMBEDDED in chosen:
        departures.append(
            "digits is not of the paper: 8 × 8 pixels, enlarged to 28 × 28 for the LeNet; "
            "settings are those of MNIST with 200 images and 1,000 iterations."
        )
    if request.iterations is not None:
        departures.append(f"{request.iterations} iterations in place of the paper's.")
    if request.width is not None:
        departures.append(f"The residual net has width {request.width}, the paper's has 3.")
    whole = replace(made[0], cells=cells, departures=tuple(departures))
    return with_runs(whole, lambda run: narrowed(replace(run, **changes), request.width))


def with_runs(experiment: Experiment, change: Callable[[Run], Run]) -> Experiment:
    """The same table of other runs."""
    cells = tuple(replace(cell, run=change(cell.run)) for cell in experiment.cells)
    return replace(experiment, cells=cells)


def narrowed(run: Run, width: int | None) -> Run:
    """With another width, where the network has one."""
    return run if width is None or run.network != "residual" else replace(run, width=width)


def known(name: str) -> tuple[str, ...]:
    """The data sets that an experiment can be made with."""
    return DATA[name] if name == "tinyimagenet" else (*DATA[name], EMBEDDED)


def there(name: str, folder: Path | None) -> tuple[str, ...]:
    """The data sets of an experiment that the folder has; the embedded one without a folder."""
    wanted = DATA[name]
    if folder is None and EMBEDDED in known(name):
        return (EMBEDDED,)
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


DATA = {
    "weight-decay": ("mnist", "cifar-10", "cifar-100"),
    "confidence-penalty": ("mnist", "cifar-10", "cifar-100"),
    "dropout-batchnorm": ("mnist",),
    "train-size": ("mnist",),
    "semi-supervised": ("mnist",),
    "local-global": ("mnist",),
    "standardisation": ("mnist",),
    "tinyimagenet": ("tiny-imagenet-200",),
}


def one_experiment(
    experiment: Experiment, request: Request, verdicts: dict[str, str], console: Console
) -> list[str]:
    """Run what is missing, print and write; sentences on what could not be run."""
    store, remarks = Store(request.out / "runs", request.folder), list[str]()
    n, chosen = request.seeds or budget.SEEDS, chosen_cells(experiment, request)
    if request.budget is not None:
        say(console, f"{experiment.title}: timing a step of every arm.")
        runs = [cell.run for cell in chosen]
        n, runs, sentence = budget.fit(request.budget, runs, request.jobs, request.folder)
        shorter = {cell.run.id: run for cell, run in zip(chosen, runs, strict=True)}
        experiment = with_runs(experiment, lambda run: shorter.get(run.id, run))
        chosen = chosen_cells(experiment, request)
        remarks.append(sentence)
        say(console, sentence)
    seeds = tuple(range(1, n + 1))
    failures = []
    if not request.tables:
        left = missing(groups(chosen, seeds, request.stack), store)
        steps = sum(group[0].iterations for group in left)
        with progress(console, f"{experiment.title}, {len(left)} runs", max(steps, 1)) as done:
            failures = sweep(left, store, request.jobs, done)

    if experiment.name == "local-global":
        norms = measured(experiment, seeds, store)
        result = norms_result(experiment, norms)
    else:

        def find_run(cell: Cell, seed: int) -> Any:
            return store.find(replace(cell.run, seed=seed))

        result = accuracies(experiment, rows(experiment, seeds, find_run))
    console.print(table(experiment.title, result.head, result.texts))
    for sentence in (result.caption, *experiment.departures):
        say(console, f"· {sentence}")
    paths = write(request.out, result, request.command, remarks, verdicts)
    say(console, f"Written: {', '.join(map(str, paths))}.")
    return failures


def chosen_cells(experiment: Experiment, request: Request) -> tuple[Cell, ...]:
    """Those that are trained."""
    cells = experiment.cells
    for name in request.rows:
        checks.choice(f"--row of {experiment.name}", name, {cell.row: None for cell in cells})
    for name in request.arms:
        checks.choice(f"--arm of {experiment.name}", name, {cell.arm: None for cell in cells})
    rows = request.rows or {cell.row for cell in cells}
    arms = request.arms or {cell.arm for cell in cells}
    return tuple(cell for cell in cells if cell.row in rows and cell.arm in arms)


def groups(cells: tuple[Cell, ...], seeds: tuple[int, ...], stack: bool) -> list[Group]:
    """What is trained together: nothing, or the seeds of a cell. Seed by seed, so that a sweep
    that is stopped has whole rows.
    """

    def of(cell: Cell, seed: int) -> Run:
        return replace(cell.run, seed=seed)

    if stack:
        return [tuple(of(cell, seed) for seed in seeds) for cell in cells]
    return [(of(cell, seed),) for seed in seeds for cell in cells]


def wide(console: Console) -> Console:
    """A file has room for whole tables."""
    return console if console.is_terminal else Console(width=FILE_WIDTH)


def say(console: Console, sentence: str) -> None:
    """Plain text, its brackets left alone."""
    console.print(Text(sentence))
