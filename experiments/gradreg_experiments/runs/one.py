"""``gradreg train``: the run of a file, for one seed or several."""

from argparse import Namespace
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import replace

from rich.console import Console

from gradreg_experiments.common import few
from gradreg_experiments.files import held, require_writable
from gradreg_experiments.runs import parallel, stopping
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.sweep import Group, in_groups, missing, one, sweep, wrong
from gradreg_experiments.terminal import Plain, ended, progress
from gradreg_experiments.verification import verified_before


def run_all(run: Run, request: Namespace) -> int:
    """Train the runs that have no result yet, and print all results.

    The request has seeds, stack_seeds, jobs, out and data. The status is 1 if a claim fails, and
    nothing is trained; 2 if something could not be run.
    """
    console, store = Plain(), Store(request.out, request.data)
    jobs = few("--jobs", request.jobs)
    seeds = 1 if request.seeds is None else few("--seeds", request.seeds)
    runs = [replace(run, seed=run.seed + s) for s in range(seeds)]
    require_writable(store.folder)
    with parallel.processes(run.device):
        holds = not parallel.first() or verified_before(run.device, console)
        if not parallel.agreed(holds, run.device):
            return 1
        with held(store.folder) if parallel.first() else nullcontext():
            groups = missing(in_groups([runs], request.stack_seeds), store)
            failures = _trained(groups, store, jobs, console)
        if parallel.first():
            _printed(console, runs, store)
            failures += wrong(runs, store)
    return ended(console, failures)


def _trained(groups: list[Group], store: Store, jobs: int, console: Console) -> list[str]:
    """Train every group, here or in processes. Return a sentence for each group that failed."""
    with progress(console, "training", sum(g[0].iterations for g in groups)) as done:
        if jobs > 1:
            return sweep(groups, store, jobs, done)
        before = 0
        with stopping.heard():
            for group in groups:

                def report(steps: int, before: int = before) -> None:
                    done(before + steps)

                one(group, store, report)
                before += group[0].iterations
    return []


def _printed(console: Console, runs: Sequence[Run], store: Store) -> None:
    """Print a line for each run."""
    for run in runs:
        if outcome := store.find(run):
            ended = "" if outcome.diverged is None else f", not finite at step {outcome.diverged}"
            validation = f"validation {100 * outcome.validation:.2f} %, " if run.validation else ""
            console.print(
                f"seed {run.seed}: test {100 * outcome.test:.2f} %, {validation}"
                f"training {100 * outcome.train:.2f} %, "
                f"{outcome.seconds:.1f} s{ended} ({store.folder / run.id}.json)",
                soft_wrap=True,
            )
