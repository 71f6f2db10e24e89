"""The kit tested on itself. Every wrong implementation is flagged, no right one is."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from time import perf_counter
from typing import Any

from gradreg_verify.claims.comparison import Target
from gradreg_verify.claims.ledger import BY_ID
from gradreg_verify.examples import bundled
from gradreg_verify.mistakes.catalogue import WRONG
from gradreg_verify.mistakes.samplers import WRONG_SAMPLERS
from gradreg_verify.outcomes import Broken, Hung
from gradreg_verify.run import preflight, run, verify
from gradreg_verify.subject.target import target_of

TIME_LIMIT = 2.0  # of a call; one entry hangs


@dataclass(frozen=True)
class Trial:
    """One entry, and whether the kit judged it rightly.

    Parameters
    ----------
    entry : str
        Penalty and name.
    mistake, claim, formula, seen : str
        What is wrong with it, the claim it breaks, what it computes, where it was seen; "" for a
        right one.
    ok : bool
        Flagged under that claim, or, if it is right, under none.
    figure : str
        What the kit said.
    seconds : float
        Wall time.
    """

    entry: str
    mistake: str
    claim: str
    formula: str
    seen: str
    ok: bool
    figure: str
    seconds: float


def self_test(
    progress: Callable[[Trial], None] = lambda _: None, device: str = "cpu"
) -> list[Trial]:
    """The catalogues of formulas and samplers, and of torch functions where torch is installed."""
    trials = []
    for trial in (*formulas_and_samplers(), *functions(device)):
        trials.append(trial)
        progress(trial)
    return trials


def formulas_and_samplers() -> Iterator[Trial]:
    """Formulas on explicit Jacobians and laws of probes, behind the loopback backend."""
    for wrong in (*WRONG, *WRONG_SAMPLERS):
        start = perf_counter()
        figure = flagged(wrong.claim, Target(wrong.backend()))
        seconds = perf_counter() - start
        mistake = "sampler" if wrong.claim == "probe-law" else "value"
        yield Trial(str(wrong), mistake, wrong.claim, wrong.name, "", bool(figure), figure, seconds)


def functions(device: str) -> Iterator[Trial]:
    """Functions in torch, wrong and right."""
    try:
        from gradreg_verify.mistakes.torch import RIGHT, WRONG
    except ModuleNotFoundError:
        return
    for entry in WRONG:
        start = perf_counter()
        figure = flagged(entry.claim, function_target(entry, device))
        yield trial(entry, bool(figure), figure, perf_counter() - start)
    for entry in RIGHT:
        start = perf_counter()
        report = verify(
            entry.function, time_limit=TIME_LIMIT, device=device, **vars(entry.declaration)
        )
        figure = "; ".join(
            f"{r.claim.id}: {r.figure}" for r in report.results if r.verdict == "FAIL"
        )
        yield trial(entry, report.ok, figure, perf_counter() - start)


def models(progress: Callable[[Trial], None] = lambda _: None) -> list[Trial]:
    """The catalogue of models, on which `gradreg_torch.check_model` is tried; without torch none.

    The claim of a trial is the line of the report that must be wrong.
    """
    try:
        from gradreg_verify.mistakes.torch.models import RIGHT, WRONG
    except ModuleNotFoundError:
        return []
    trials = []
    for model in (*WRONG, *RIGHT):
        start = perf_counter()
        ok, figure = model.judged()
        seconds = perf_counter() - start
        mistake = "model" if model.line else ""
        trials.append(Trial(str(model), mistake, model.line, model.says, "", ok, figure, seconds))
        progress(trials[-1])
    return trials


def function_target(entry: Any, device: str) -> Target:
    """A function of a catalogue, as `verify` would have it."""
    declared = vars(entry.declaration)
    kind = declared["kind"]
    rest = {name: value for name, value in declared.items() if name != "kind"}
    target = target_of(entry.function, kind, "torch", device, 4, TIME_LIMIT, rest)
    return replace(target, dtypes=("float32",))


def trial(entry: Any, ok: bool, figure: str, seconds: float) -> Trial:
    """The outcome for an entry of a catalogue of functions."""
    return Trial(
        str(entry), entry.mistake, entry.claim, entry.formula, entry.seen, ok, figure, seconds
    )


def flagged(claim: str, target: Target) -> str:
    """What the claim says of a target; "" if it holds or cannot be checked."""
    no_answer = preflight(target)
    if no_answer is not None:
        return str(no_answer) if claim == "values-per-example" else ""
    try:
        run(BY_ID[claim], target, list(bundled()))
    except (Broken, Hung) as how:
        return str(how)
    return ""


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
