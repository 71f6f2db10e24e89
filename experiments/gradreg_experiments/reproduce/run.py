"""``gradreg reproduce``: verify, run what is missing, print the table, write the files."""

from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from gradreg_experiments.files import held, require_writable
from gradreg_experiments.limits import few
from gradreg_experiments.progress import progress
from gradreg_experiments.reproduce import budget
from gradreg_experiments.reproduce.assembly import assembled, chosen_cells, with_runs
from gradreg_experiments.reproduce.experiments import Cell, Experiment
from gradreg_experiments.reproduce.local_global import measured
from gradreg_experiments.reproduce.local_global import result as norms_result
from gradreg_experiments.reproduce.page import write_page
from gradreg_experiments.reproduce.record import Result, accuracies, made_with, replaced, write
from gradreg_experiments.reproduce.request import Request
from gradreg_experiments.reproduce.statistics import rows
from gradreg_experiments.reproduce.table import table
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.sweep import Group, diverged, missing, sweep
from gradreg_experiments.runs.training import Outcome
from gradreg_experiments.terminal import Plain
from gradreg_experiments.toy.problem import PAPER
from gradreg_experiments.toy.quickstart import run as run_toy
from gradreg_experiments.verification import verified_before

FILE_WIDTH = 100


class ClaimsFail(Exception):
    """The backend that would train does not hold its claims."""


def reproduce(names: Sequence[str], request: Request, console: Console | None = None) -> int:
    """The status: 0; 1 if a claim fails, and nothing is trained; 2 if a run could not be made."""
    console = console or wide(Plain())
    for name, value in (("jobs", request.jobs), ("seeds", request.seeds)):
        if value is not None:
            few(f"--{name}", value)
    if list(names) == ["toy"]:
        require_of_toy(request)
    elif request.task != PAPER:
        raise ValueError(f"expected --problem and --noise with toy alone, got {', '.join(names)}")
    experiments, failures = all_assembled([n for n in names if n != "toy"], request)
    require_writable(request.out)
    if "toy" in names and not request.tables and (status := toy(request, console)):
        if status == 1:
            return status
        failures.append("Not run: toy, for the reason above")
    if request.budget is not None and experiments:
        request = replace(request, budget=request.budget / len(experiments))
    try:
        for experiment in experiments:
            failures += one_experiment(experiment, request, console)
    except ClaimsFail:
        say(console, "Not trained: claims failed, as shown above.")
        return 1
    say(console, f"Page: {write_page(request.out)}")
    for sentence in failures:
        say(console, sentence)
    return 2 if failures else 0


def all_assembled(names: Sequence[str], request: Request) -> tuple[list[Experiment], list[str]]:
    """The tables, and a sentence for each table that cannot be made, before any run begins."""
    made, failures = list[Experiment](), list[str]()
    for name in names:
        try:
            made.append(assembled(name, request))
        except (ValueError, OSError) as error:
            if len(names) == 1:
                raise
            failures.append(f"Not run: {name}: {error}")
    return made, failures


def require_of_toy(request: Request) -> None:
    """Refuse options that the toy problem has no use for."""
    given = {
        "--on": request.data,
        "--row": request.rows,
        "--arm": request.arms,
        "--width": request.width is not None,
        "--budget": request.budget is not None,
        "--jobs": request.jobs != 1,
        "--stack-seeds": request.stack,
        "--amp": request.changes.get("amp"),
        "--compile": request.changes.get("compile"),
        "--protocol": request.protocol != "paper",
    }
    if useless := [name for name, value in given.items() if value]:
        raise ValueError(
            "expected --seeds, --iterations, --problem, --noise, --device, --out or --tables for "
            f"the toy problem, got {', '.join(useless)}"
        )


def toy(request: Request, console: Console) -> int:
    """The experiment of the main job, in full. It asks for a verdict itself."""
    device = request.changes.get("device", "cpu")
    return run_toy(
        out=request.out,
        full=True,
        device=device,
        seeds=request.seeds,
        iterations=request.iterations,
        task=request.task,
        again=False,
        console=console,
    )


def one_experiment(experiment: Experiment, request: Request, console: Console) -> list[str]:
    """Run what is missing, print and write. Return sentences on what could not be run."""
    store, remarks, failures = Store(request.out / "runs", request.folder), list[str](), []
    n = request.seeds or budget.SEEDS
    if request.budget is not None:
        seconds, runs = request.budget, [cell.run for cell in chosen_cells(experiment, request)]

        def fit() -> budget.Plan:
            say(console, f"{experiment.title}: timing a step of every arm.")
            return budget.fit(seconds, runs, request.jobs, request.folder, n)

        path = request.out / f"{experiment.name}.plan.json"
        plan = budget.planned(path, f"{request.command} --jobs {request.jobs}", fit)
        # Of every cell, trained now or not: runs that are compared have one length.
        experiment, n = with_runs(experiment, plan.shortened), plan.seeds
        remarks.append(plan.sentence)
        say(console, plan.sentence)
    seeds = tuple(range(1, n + 1))
    if not request.tables:
        failures = trained(experiment, seeds, request, store, console)
    result = result_of(experiment, seeds, store)
    console.print(table(experiment.title, result.head, result.texts, console.width))
    for sentence in (result.caption, *experiment.departures):
        say(console, f"· {sentence}")
    every = (replace(cell.run, seed=seed) for cell in experiment.cells for seed in seeds)
    made = made_with(store, every)
    if old := replaced(request.out, result):
        say(console, f"This table replaces one with other rows or settings ({old}); the runs stay.")
    if request.tables and not made and any(store.folder.glob("*.json")):
        say(
            console,
            f"The runs in {store.folder} have other settings: give the options of those runs.",
        )
    paths = write(request.out, result, request.command, remarks, made)
    say(console, f"Written: {', '.join(map(str, paths))}.")
    return failures


def trained(
    experiment: Experiment, seeds: tuple[int, ...], request: Request, store: Store, console: Console
) -> list[str]:
    """Run what is missing. Return sentences on runs that failed or did not stay finite."""
    wanted = groups(chosen_cells(experiment, request), seeds, request.stack)
    measured = experiment.name == "local-global"
    left = missing(wanted, store, weights=measured)
    if kept := sum(map(len, wanted)) - sum(map(len, left)):
        say(console, f"{kept} of {sum(map(len, wanted))} runs are there.")
    failures = list[str]()
    if left:
        if not verified_before(request.changes.get("device", "cpu"), console):
            raise ClaimsFail
        with held(store.folder):
            left = missing(wanted, store, weights=measured)
            steps = sum(group[0].iterations for group in left) or 1
            with progress(console, f"{experiment.title}, {len(left)} runs", steps) as done:
                failures = [f"Not run: {said}" for said in sweep(left, store, request.jobs, done)]
    return failures + diverged((run for group in wanted for run in group), store)


def result_of(experiment: Experiment, seeds: tuple[int, ...], store: Store) -> Result:
    """The table of all runs that are there."""
    if experiment.name == "local-global":
        return norms_result(experiment, measured(experiment, seeds, store))

    def find(cell: Cell, seed: int) -> Outcome | None:
        return store.find(replace(cell.run, seed=seed))

    return accuracies(experiment, rows(experiment, seeds, find))


def groups(cells: tuple[Cell, ...], seeds: tuple[int, ...], stack: bool) -> list[Group]:
    """What is trained together: a run alone, or the seeds of a cell. The order is seed by seed, so
    that a sweep that is stopped has whole rows.
    """

    def of(cell: Cell, seed: int) -> Run:
        return replace(cell.run, seed=seed)

    if stack:
        return [tuple(of(cell, seed) for seed in seeds) for cell in cells]
    return [(of(cell, seed),) for seed in seeds for cell in cells]


def wide(console: Console) -> Console:
    """A console that is wide enough for whole tables, where the output is a file."""
    return console if console.is_terminal else Plain(width=FILE_WIDTH)


def say(console: Console, sentence: str) -> None:
    """Print plain text, in which brackets stay brackets."""
    console.print(sentence)
