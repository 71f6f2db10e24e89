"""``gradreg train``: the run of a file, for one seed or several."""

from collections.abc import Callable, Sequence
from dataclasses import replace

from rich.console import Console

from gradreg_experiments.files import require_writable
from gradreg_experiments.progress import progress
from gradreg_experiments.runs import parallel
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.sweep import missing, one, sweep
from gradreg_experiments.verification import verified_before
from gradreg_ref import checks


def run_all(run: Run, seeds: int | None, store: Store, jobs: int, stack: bool) -> int:
    """Train what has no result yet, and print what there is.

    1 if a claim fails, and nothing is trained; 2 if something could not be run.
    """
    console = Console()
    checks.count("jobs", jobs)
    runs = [run]
    if seeds is not None:
        runs = [replace(run, seed=run.seed + s) for s in range(checks.count("seeds", seeds))]
    require_writable(store.folder)
    with parallel.processes(run.device):
        holds = not parallel.first() or verified_before(run.device, console)
        if not parallel.agreed(holds, run.device):
            return 1
        groups = missing([tuple(runs)] if stack else [(r,) for r in runs], store)
        failures = list[str]()
        with progress(console, "training", sum(g[0].iterations for g in groups) or 1) as done:
            if jobs > 1:
                failures = sweep(groups, store, jobs, done)
            else:
                before = 0
                for group in groups:
                    one(group, store, added(done, before))
                    before += group[0].iterations
        if parallel.first():
            printed(console, runs, store)
    for sentence in failures:
        console.print(sentence, markup=False)
    return 2 if failures else 0


def added(done: Callable[[int], None], before: int) -> Callable[[int], None]:
    """The steps of a run on top of those before it."""
    return lambda steps: done(before + steps)


def printed(console: Console, runs: Sequence[Run], store: Store) -> None:
    """A line for each."""
    for run in runs:
        if outcome := store.find(run):
            ended = "" if outcome.diverged is None else f", not finite at step {outcome.diverged}"
            validation = f"validation {100 * outcome.validation:.2f} %, " if run.validation else ""
            console.print(
                f"seed {run.seed}: test {100 * outcome.test:.2f} %, {validation}"
                f"training {100 * outcome.train:.2f} %, "
                f"{outcome.seconds:.1f} s{ended} ({store.folder / run.id}.json)",
                markup=False,
                soft_wrap=True,
            )
