"""Many runs in several processes: each result is kept as soon as the run ends."""

import multiprocessing
import multiprocessing.connection
import os
import signal
import threading
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from time import sleep
from typing import Any

from rich.console import Console

from gradreg_experiments.files import held
from gradreg_experiments.runs import parallel, stopping
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.training import Outcome, train
from gradreg_experiments.terminal import progress

Group = tuple[Run, ...]
_REPORT_EVERY = 50  # steps
_reports: Any = None  # in a worker: the queue of steps done


def in_groups(runs: Sequence[Sequence[Run]], stack: bool) -> list[Group]:
    """What is trained together, of the runs of each setting, seed by seed: all seeds of a setting,
    or each run alone. The first seed of every setting then comes first, so that a sweep that is
    stopped has whole rows.
    """
    if stack:
        return [tuple(seeds) for seeds in runs]
    return [(run,) for of_seed in zip(*runs, strict=True) for run in of_seed]


def missing(groups: Sequence[Group], store: Store, weights: bool = False) -> list[Group]:
    """The runs of each group that have no result, or no weights where weights are needed; none
    twice.
    """
    seen, out = set[str](), []
    for group in groups:
        left = tuple(
            run
            for run in group
            if run.id not in seen
            and (store.find(run) is None or (weights and not store.weights(run).exists()))
        )
        seen |= {run.id for run in left}
        if left:
            out.append(left)
    return out


def train_missing(
    groups: Sequence[Group],
    store: Store,
    jobs: int,
    console: Console,
    title: str = "",
    weights: bool = False,
) -> list[str]:
    """Run what has no result yet, in a folder that no other process has; see `sweep`."""
    with held(store.folder):
        left = missing(groups, store, weights)
        steps = sum(group[0].iterations for group in left)
        with progress(console, f"{title}{len(left)} runs", steps) as done:
            return sweep(left, store, jobs, done)


def sweep(
    groups: Sequence[Group],
    store: Store,
    jobs: int = 1,
    progress: Callable[[int], None] = lambda _: None,
) -> list[str]:
    """Run every group, `jobs` at a time, and keep the results.

    Parameters
    ----------
    groups : sequence of tuple of Run
        The runs of a group are trained together; see `missing`.
    store : Store
        Where results and checkpoints are kept, and where the images are.
    jobs : int
        How many processes, of one thread each.
    progress : callable
        Called with the number of steps done in all.

    Returns
    -------
    list of str
        A sentence for every group that could not be run.
    """
    context = multiprocessing.get_context("spawn")
    queue = context.SimpleQueue()
    done = dict[str, int]()
    others = set(multiprocessing.active_children())
    pool = ProcessPoolExecutor(jobs, context, _at_start, (queue,))
    with stopping.heard():
        try:
            futures = {pool.submit(_in_worker, group, store): group for group in groups}
            workers = set(multiprocessing.active_children()) - others
            left = set(futures)
            while left and not stopping.asked.is_set():
                _, left = wait(left, timeout=0.5)
                while not queue.empty():
                    key, steps = queue.get()
                    done[key] = steps
                progress(sum(done.values()))
        finally:
            # Not cancelled: the pool's thread tells the runs that wait that their worker has ended.
            stopping.end(set(multiprocessing.active_children()) - others)
            pool.shutdown()  # waits for the pool's thread: that thread reads the exit codes
        if left:
            raise stopping.stopped("with a checkpoint of every run that was under way")
    why = stopping.of_processes(workers)
    return [f"{_name(group)}: {e}" for f, group in futures.items() if (e := _problem(f, why))]


def _at_start(queue: Any) -> None:
    """Prepare a worker. An interrupt ends a worker in silence: the parent says what happened."""
    global _reports
    _reports = queue
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    """If its parent is killed, a worker writes a checkpoint and ends."""
    if parent := multiprocessing.parent_process():
        multiprocessing.connection.wait([parent.sentinel])
        if stopping.listening.is_set():
            stopping.asked.set()
            sleep(stopping.GRACE_S)  # it exits by itself, after its step
        os._exit(1)


def one(group: Group, store: Store, progress: Callable[[int], None]) -> None:
    """Train a group and keep its results."""
    store.folder.mkdir(parents=True, exist_ok=True)
    checkpoint = store.checkpoint(group)
    outcomes, networks = train(group, store.data, checkpoint, progress)
    if parallel.first():
        for outcome, network in zip(outcomes, networks, strict=True):
            store.keep(outcome, network)
        checkpoint.unlink(missing_ok=True)


def _in_worker(group: Group, store: Store) -> None:
    """Train a group as `one` does, and send the progress to the parent."""

    def report(steps: int) -> None:
        if steps % _REPORT_EVERY == 0 or steps == group[0].iterations:
            _reports.put((group[0].id, steps))

    with stopping.heard(patient=True):
        try:
            one(group, store, report)
        except stopping.Stopped:
            os._exit(0)  # nobody reads the result


def wrong(runs: Sequence[Run], store: Store) -> list[str]:
    """A sentence for every result without its weights, and for every run that diverged."""
    found = [outcome for run in runs if (outcome := store.find(run)) is not None]
    return [said for o in found if (said := store.lost(o.run))] + diverged(found)


def diverged(found: Iterable[Outcome]) -> list[str]:
    """A sentence for every loss that did not stay finite: the figures are of no use."""
    return [
        f"{_name((o.run,))}: its loss is not finite at step {o.diverged}"
        for o in found
        if o.diverged is not None
    ]


def _problem(future: Future[None], why: str) -> str:
    """What the run itself raised, why a process ended under it or before its turn, or nothing."""
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return why
    return "" if error is None else str(error) or type(error).__name__


def _name(group: Group) -> str:
    """The name of a group in a sentence."""
    run = group[0]
    seeds = ", ".join(str(r.seed) for r in group)
    return f"{run.data}, {run.train} images, {run.penalty} λ {run.lam:g}, seed {seeds}"
