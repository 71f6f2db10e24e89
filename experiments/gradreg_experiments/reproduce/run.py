"""``gradreg reproduce``: verify, run what is missing, print the table, write the files."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace

from rich.console import Console

from gradreg_experiments.common import few
from gradreg_experiments.files import require_writable
from gradreg_experiments.reproduce import budget
from gradreg_experiments.reproduce.assembly import assembled, chosen_cells, with_runs
from gradreg_experiments.reproduce.experiments import Experiment
from gradreg_experiments.reproduce.local_global import measured
from gradreg_experiments.reproduce.local_global import result as norms_result
from gradreg_experiments.reproduce.page import require_place, write_page
from gradreg_experiments.reproduce.record import Result, accuracies, made_with, replaced, write
from gradreg_experiments.reproduce.statistics import rows
from gradreg_experiments.reproduce.table import table
from gradreg_experiments.runs import Store
from gradreg_experiments.runs.sweep import diverged, in_groups, missing, train_missing
from gradreg_experiments.terminal import Plain, ended
from gradreg_experiments.toy.problem import Task
from gradreg_experiments.toy.quickstart import run as toy
from gradreg_experiments.verification import verified_before

_FILE_WIDTH = 100  # characters: whole tables, where the output is a file


def reproduce(names: Sequence[str], request: Namespace) -> int:
    """Make every experiment; the request has the options of ``gradreg reproduce``.

    The status is 0; 1 if a claim fails, and nothing is trained; 2 if a run could not be made.
    """
    console = Plain()
    if not console.is_terminal:
        console = Plain(width=_FILE_WIDTH)
    for name in ("jobs", "seeds"):
        if (value := getattr(request, name)) is not None:
            few(f"--{name}", value)
    limit = None if request.budget is None else budget.seconds(request.budget)
    experiments, failures = _all_assembled([n for n in names if n != "toy"], request)
    require_writable(request.out, *(one.name for one in experiments))
    require_place(request.out)
    if "toy" in names and not request.tables:
        task = Task(request.problem, request.noise)
        if toy(request, full=True, task=task, again=False, console=console):
            return 1
    if experiments and not request.tables and not verified_before(request.device, console):
        console.print("Not trained: claims failed, as shown above.")
        return 1
    for experiment in experiments:
        share = None if limit is None else limit / len(experiments)
        failures += one_experiment(experiment, request, share, console)
    console.print(f"Page: {write_page(request.out)}", soft_wrap=True)
    return ended(console, failures)


def _all_assembled(names: Sequence[str], request: Namespace) -> tuple[list[Experiment], list[str]]:
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


def one_experiment(
    experiment: Experiment, request: Namespace, limit: float | None, console: Console
) -> list[str]:
    """Run what is missing, print and write. Return sentences on what could not be run.

    The limit is a time in seconds, which decides on seeds and iterations.
    """
    store, failures = Store(request.out / "runs", request.data), list[str]()
    n = request.seeds or budget.SEEDS
    if limit is not None:
        runs = [cell.run for cell in chosen_cells(experiment, request)]

        def fit() -> budget.Plan:
            console.print(f"{experiment.title}: timing a step of every arm.")
            return budget.fit(limit, runs, request.jobs, request.data, n)

        path = request.out / f"{experiment.name}.plan.json"
        plan = budget.planned(path, f"{request.recorded} --jobs {request.jobs}", fit)
        # All cells, also those not trained now: compared runs must have the same length.
        experiment, n = with_runs(experiment, plan.shortened), plan.seeds
        experiment = replace(experiment, departures=(*experiment.departures, plan.sentence))
        console.print(plan.sentence)
    seeds = tuple(range(1, n + 1))
    if not request.tables:
        failures = _trained(experiment, seeds, request, store, console)
    result = _result_of(experiment, seeds, store)
    console.print(table(experiment.title, result.head, result.texts, console.width))
    for sentence in (result.caption, *experiment.departures):
        console.print(f"· {sentence}")
    every = (replace(cell.run, seed=seed) for cell in experiment.cells for seed in seeds)
    made = made_with(store, every)
    if old := replaced(request.out, result):
        console.print(
            f"This table replaces one with other rows or settings ({old}); the runs stay.",
            soft_wrap=True,
        )
    if request.tables and not made and any(store.folder.glob("*.json")):
        console.print(
            f"The runs in {store.folder} have other settings: give the options of those runs.",
            soft_wrap=True,
        )
    paths = write(request.out, result, request.recorded, made)
    console.print(f"Written: {', '.join(map(str, paths))}.", soft_wrap=True)
    return failures


def _trained(
    experiment: Experiment, seeds: Sequence[int], request: Namespace, store: Store, console: Console
) -> list[str]:
    """Run what is missing. Return sentences on runs that failed or did not stay finite."""
    cells = chosen_cells(experiment, request)
    runs = [[replace(cell.run, seed=seed) for seed in seeds] for cell in cells]
    wanted = in_groups(runs, request.stack_seeds)
    measured = experiment.name == "local-global"
    left = missing(wanted, store, weights=measured)
    total = sum(map(len, wanted))
    if kept := total - sum(map(len, left)):
        console.print(f"{kept} of {total} runs are there.")
    title = f"{experiment.title}, "
    said = train_missing(left, store, request.jobs, console, title, measured) if left else []
    found = (store.find(run) for group in wanted for run in group)
    failures = [f"Not run: {sentence}" for sentence in said]
    return failures + diverged(outcome for outcome in found if outcome)


def _result_of(experiment: Experiment, seeds: Sequence[int], store: Store) -> Result:
    """The table of all runs that are there."""
    if experiment.name == "local-global":
        return norms_result(experiment, measured(experiment, seeds, store))
    found = rows(experiment, seeds, lambda cell, seed: store.find(replace(cell.run, seed=seed)))
    return accuracies(experiment, found)
