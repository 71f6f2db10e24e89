"""The test of the kit: every wrong implementation must fail, and no right one may fail."""

import gc
import os
import signal
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing import get_context
from typing import Any

from gradreg_verify.claims.ledger import BY_ID
from gradreg_verify.claims.target import Target, target_of
from gradreg_verify.examples import bundled
from gradreg_verify.isolation import end_with_parent
from gradreg_verify.mistakes.catalogue import WRONG, Wrong
from gradreg_verify.mistakes.samplers import WRONG_SAMPLERS, WrongSampler
from gradreg_verify.outcomes import Broken, Hung
from gradreg_verify.run import preflight, run, verify

TIME_LIMIT = 0.5  # of a call; one entry hangs
MOST_WORKERS = 4


@dataclass(frozen=True)
class Trial:
    """One entry, and whether the kit judged it rightly.

    Parameters
    ----------
    entry : str
        Penalty and name.
    mistake, claim : str
        What is wrong with it, and the claim it breaks; "" for a right one.
    formula : str
        What it computes.
    ok : bool
        Flagged under that claim, or, if it is right, under none.
    """

    entry: str
    mistake: str
    claim: str
    formula: str
    ok: bool


def self_test(
    progress: Callable[[Trial], None] = lambda _: None, device: str = "cpu"
) -> tuple[list[Trial], list[Trial]]:
    """The catalogues of formulas and samplers, and of torch functions where torch is installed;
    and the catalogue of models.

    Up to four processes share the entries. They alone import torch.
    """
    trials = []
    workers = min(os.cpu_count() or 1, MOST_WORKERS)
    try:
        with ProcessPoolExecutor(workers, get_context("spawn"), quiet_worker) as pool:
            of_models = pool.submit(models)
            count = pool.submit(_count).result()
            for trial in pool.map(partial(tried, device), range(count)):
                trials.append(trial)
                progress(trial)
            return trials, of_models.result()
    except BrokenProcessPool as error:
        raise OSError(f"a process of the self-test died: {error}") from error


def _count() -> int:
    """How many entries there are."""
    return len(entries())


def quiet_worker() -> None:
    """Make this worker process end with its parent and ignore Ctrl-C.

    It collects garbage less often than Python does, which saves a tenth of the time. torch, which
    it has not imported yet, uses one thread: threads of several workers would wait for each other.
    """
    gc.set_threshold(50_000)
    os.environ["OMP_NUM_THREADS"] = "1"
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def entries() -> list[Any]:
    """Functions in torch, right and wrong, formulas on explicit Jacobians, and laws of probes.

    The right ones take longest, as every claim is checked: begun first, they keep no process
    waiting at the end.
    """
    planted = [*WRONG, *WRONG_SAMPLERS]
    try:
        from gradreg_verify.mistakes import torch
    except ModuleNotFoundError:
        return planted
    return [*torch.RIGHT, *planted, *torch.WRONG]


def tried(device: str, i: int) -> Trial:
    """Run the kit on the entry with this number."""
    entry = entries()[i]
    if isinstance(entry, Wrong | WrongSampler):
        ok = flagged(entry.claim, Target(entry.backend()))
        mistake = "sampler" if entry.claim == "probe-law" else "value"
        return Trial(str(entry), mistake, entry.claim, entry.name, ok)
    if entry.claim:
        ok = flagged(entry.claim, function_target(entry, device))
    else:
        declared = vars(entry.declaration)
        # Its first call may import for seconds, and `TIME_LIMIT` is not for that.
        ok = verify(entry.function, device=device, **declared).ok
    return Trial(str(entry), entry.mistake, entry.claim, entry.formula, ok)


def models() -> list[Trial]:
    """The catalogue of models, on which `gradreg_torch.check_model` is tried; without torch none.

    The claim of a trial is the line of the report that must be wrong.
    """
    try:
        from gradreg_verify.mistakes.torch.models import RIGHT, WRONG
    except ModuleNotFoundError:
        return []
    trials = []
    for model in (*WRONG, *RIGHT):
        ok, _ = model.judged()
        mistake = "model" if model.line else ""
        trials.append(Trial(str(model), mistake, model.line, model.says, ok))
    return trials


def function_target(entry: Any, device: str) -> Target:
    """A function of a catalogue, as `verify` would have it."""
    declared = dict(vars(entry.declaration))
    kind = declared.pop("kind")
    target = target_of(entry.function, kind, "torch", device, 4, TIME_LIMIT, declared)
    return replace(target, dtypes=("float32",))


def flagged(claim: str, target: Target) -> bool:
    """Whether the claim fails for a target; a function without an answer fails the first one."""
    if preflight(target) is not None:
        return claim == "values-per-example"
    try:
        run(BY_ID[claim], target, list(bundled()))
    except (Broken, Hung):
        return True
    return False


def score(
    trials: list[Trial], what: str = "implementations", where: str = "under the claim they break"
) -> str:
    """The outcome in a line."""
    wrong = [t for t in trials if t.claim]
    right = [t for t in trials if not t.claim]
    return (
        f"{sum(t.ok for t in wrong)} of {len(wrong)} wrong {what} flagged {where}, "
        f"{sum(not t.ok for t in right)} of {len(right)} right ones flagged"
    )


def score_of_models(trials: list[Trial]) -> str:
    """The same of `models`."""
    return score(trials, "models", "by check_model in the line that is wrong")
