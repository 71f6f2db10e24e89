"""Check every claim for a backend or for your own penalty.

Check every claim (a statement about a penalty, listed in docs/claims.md) for a backend, or for a
function of yours, which is imported and run in a separate process. If a claim fails, say what the
function computes. The exit status is 0 if all claims hold, 1 if one fails, 2 if nothing could be
tested. docs/verify.md explains the verdicts.

examples:
  gradreg verify my_penalty.py:penalty --kind spectreg
  gradreg verify my_penalty.py:penalty --kind doubleback --scale 0.5
  gradreg verify package.module:penalty --kind r1 --report report.html
  gradreg verify torch
"""

import argparse
import secrets
from collections.abc import Callable
from dataclasses import fields, replace
from functools import partial
from pathlib import Path
from typing import Any, get_args

from gradreg_cli.parser import add_count, add_seed, repeated, sizes
from gradreg_cli.terminal import columns, fold, is_terminal, say, sentence, show_status
from gradreg_ref import checks
from gradreg_ref.typing import Law, Loss, Reduction, Side
from gradreg_verify import Declaration, Report, Result, verify
from gradreg_verify.frameworks.registry import choose, names
from gradreg_verify.isolation import verify_isolated
from gradreg_verify.mistakes import self_test
from gradreg_verify.mistakes.self_test import Trial
from gradreg_verify.report import e_values, history, render, waivers
from gradreg_verify.report.progress import row, so_far
from gradreg_verify.subject.declaration import NAMES
from gradreg_verify.subject.watch import require_seconds

_COLOURS = {"PASS": "32", "FAIL": "1;31", "WAIVED": "33", "NOT-TESTED": "33"}


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    text = "path/to/file.py:penalty, package.module:penalty, or a backend: torch, jax, auto"
    command.add_argument("target", nargs="?", help=text)
    what = command.add_argument_group("what the penalty should compute (or use @declare)")
    add = what.add_argument
    text = f"which penalty: {', '.join(NAMES)}; r1 is frobreg with --outputs 1"
    add("--kind", choices=NAMES, metavar="KIND", help=text)
    laws = get_args(Law)
    text = f"distribution of the probes: {', '.join(laws)} (default for spectreg: gaussian)"
    add("--probe", choices=laws, metavar="LAW", help=text)
    add_count(what, "--num-probes", "number of probes per example")
    text = "all examples of a batch share one probe"
    add("--shared-probe", action="store_true", default=None, help=text)
    add(
        "--side",
        choices=get_args(Side),
        help="output (default): probes r of the outputs, ‖Jᵀr‖²; input: probes v of the inputs, "
        "‖Jv‖²",
    )
    text = "factor of the penalty, 0.5 for ½ (default: 1)"
    add("--scale", type=float, metavar="A", help=text)
    text = "mean (default) or sum over the batch; none: one value per example"
    add("--reduction", choices=get_args(Reduction), help=text)
    add("--loss", choices=get_args(Loss), help="loss of doubleback (default: cross_entropy)")
    text = (
        "what the function's arguments are, in order: model, x, y, logits, params, and the names "
    )
    text += "probes, generator or key"
    add("--arguments", type=lambda s: tuple(s.split(",")), metavar="model,x,y", help=text)
    add_count(what, "--outputs", "test only networks with N outputs")
    text = "test only networks with as many outputs as inputs"
    add("--square", action="store_true", default=None, help=text)
    text = "test only inputs of this shape, the shape of one example"
    add("--input", type=sizes, metavar="3x8x8", help=text)
    where = command.add_argument_group("where and how")
    add = where.add_argument
    add("--framework", default="torch", help="torch (default) or jax")
    add("--device", default="cpu", help="a device of `gradreg backends`, or auto")
    text = "dtype whose rounding is checked (default float32; repeatable)"
    add("--dtype", action="append", help=text)
    text = "seed of everything that is drawn (default: 4; with --profile long a new one)"
    add_seed(where, text)
    add("--profile", choices=("ci", "long"), default="ci", help="long draws more probes")
    text = "limit of the CPU time of one call of the function (default: 10 seconds)"
    add("--time-limit", type=float, default=10.0, metavar="SECONDS", help=text)
    add = command.add_argument_group("output").add_argument
    text = "write the report to FILE.json, .md, .html or .bib (repeatable)"
    add("--report", type=Path, action="append", default=[], metavar="FILE", help=text)
    text = "TOML file of accepted failures with reasons"
    add("--waivers", type=Path, metavar="FILE", help=text)
    text = "JSON file that collects evidence against the probes' law over runs"
    add("--evidence", type=Path, metavar="FILE", help=text)
    add("--self-test", action="store_true", help="test the kit on wrong and right functions")


_DECLARED = tuple(field.name for field in fields(Declaration) if field.name != "kind")
# The options that determine the verdicts; where a report is written does not matter.
_RECORDED = f"kind {' '.join(_DECLARED)} framework device profile time_limit waivers dtype"


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0: all hold; 1: a claim fails; 2: not tested, or (ValueError) it cannot run."""
    if arguments.target is None and not arguments.self_test:
        known = ", ".join([*names(), "auto"])
        raise ValueError(
            f"expected what to verify: file.py:penalty, or a backend among {known}; got nothing"
        )
    for path in arguments.report:  # now, and not after the minutes that follow
        render.require_format(path)
    require_seconds("--time-limit", arguments.time_limit)
    if arguments.evidence is not None:
        e_values.require_place(arguments.evidence)
    verified = None if arguments.target is None else _asked(arguments)
    tested, status = "not run", 0
    if arguments.self_test:
        tested, status = _tested_itself(arguments.device)
    if verified is None:
        return status
    show_status("loading")
    try:
        report = verified()
    finally:
        show_status()
    if ":" not in arguments.target:  # a backend
        history.remember(report)
    command = repeated(arguments, arguments.target, "--seed", report.seed, options=_RECORDED)
    report = replace(report, self_test=tested, command=command)
    _show_end(report)
    written = _written(report, arguments)
    return max(status, report.status) or written


def _written(report: Report, arguments: argparse.Namespace) -> int:
    """Write report and evidence, each even if the other fails; return the exit status."""
    status = 0
    for path in arguments.report:
        try:
            render.write(report, path)
            say(f"written: {path}")
        except (OSError, ValueError) as error:
            say(f"gradreg verify: {sentence(error)}", error=True)
            status = 2
    if arguments.evidence is not None:
        said, refuted = e_values.accumulate(arguments.evidence, report)
        say(said)
        status = max(status, int(refuted))
    return status


def _tested_itself(device: str) -> tuple[str, int]:
    """Run the self-test; return its score in words and the exit status."""
    trials, models = self_test.self_test(_show_trial, device)
    tested = self_test.score(trials)
    say(f"{tested}\n")
    for trial in models:
        _show_trial(trial)
    if models:
        of_models = self_test.score_of_models(models)
        say(of_models)
        tested += f"; {of_models}"
    return tested, 0 if all(t.ok for t in (*trials, *models)) else 1


def _asked(arguments: argparse.Namespace) -> Callable[[], Report]:
    """Check what to verify; return a function that verifies it, if need be in another process."""
    seed = arguments.seed
    if seed is None:
        seed = secrets.randbelow(2**31) if arguments.profile == "long" else 4
    options: dict[str, Any] = {
        "dtypes": tuple(arguments.dtype) if arguments.dtype else None,
        "seed": seed,
        **{name: getattr(arguments, name) for name in ("profile", "time_limit")},
        "waivers": waivers.read(arguments.waivers) if arguments.waivers else None,
    }
    declared = {n: value for n in _DECLARED if (value := getattr(arguments, n)) is not None}
    if arguments.target.endswith(".py"):
        raise ValueError(
            f"expected a function of the file, as in {arguments.target}:penalty, got the file alone"
        )
    whole = ":" not in arguments.target  # a backend
    if whole:
        known = [*names(), "auto"]
        checks.choice("a backend (or file.py:penalty)", arguments.target, known)
        if arguments.kind or declared:
            raise ValueError("expected --kind and its options with a function, not with a backend")
    framework = arguments.target if whole else arguments.framework
    backend, options["device"] = choose(framework, arguments.device)
    if whole and "auto" in (arguments.target, arguments.device):
        say(f"auto: {backend.name} on {options['device']}")
    if whole:
        return partial(verify, backend, progress=_printer(), **options)
    options |= declared | {"kind": arguments.kind, "framework": framework}
    return partial(verify_isolated, arguments.target, _printer(), options)


def _printer() -> Callable[[Result], None]:
    """A function that prints a verdict as it comes, and below it how much is left.

    Verdicts on claims that do not apply are counted at the end.
    """
    results: list[Result] = []

    def show(result: Result) -> None:
        results.append(result)
        show_status()
        if result.verdict != "NOT-APPLICABLE":
            line = row(result, columns() if is_terminal() else None)
            say(line, word=result.verdict, colour=_COLOURS[result.verdict])
        show_status(so_far(results))

    return show


def _show_trial(trial: Trial) -> None:
    """An entry of the catalogue as it is judged."""
    verdict = "ok  " if trial.ok else "MISS"
    claim = trial.claim or "right"
    say(f"{verdict} {claim:5} {trial.mistake or '-':8} {trial.entry}  {trial.formula}")


def _show_end(report: Report) -> None:
    """Print the counts of verdicts, what was checked, and the diagnosis."""
    say(fold(f"\n{report.target}: {report.counts}"))
    say(fold(f"declared: {report.declared}"))
    rounding = ", ".join(report.dtypes) or "no other"
    say(fold(f"tier: {report.tier}"))
    say(fold(f"checked: formulas in float64, rounding in {rounding}; seed {report.seed}"))
    say(fold(f"with: {report.framework} on {report.device}"))
    if report.diagnosis is not None:
        prose, code, network = str(report.diagnosis).partition("\n\nimport ")
        say(f"\n{fold(prose)}{code}{network}")
