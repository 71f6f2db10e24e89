"""``gradreg verify``: a backend, a function, or the kit itself."""

import argparse
import secrets
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

from gradreg_ref import checks
from gradreg_ref.penalties import PENALTIES
from gradreg_ref.typing import Law, Loss, Reduction, Side
from gradreg_verify import Report, Result, verify
from gradreg_verify.frameworks.registry import choose, names
from gradreg_verify.isolation import verify_isolated
from gradreg_verify.mistakes.self_test import Trial, score, self_test
from gradreg_verify.report import e_values, history, render, waivers

COLOURS = {"PASS": "32", "FAIL": "1;31", "WAIVED": "33", "NOT-TESTED": "33"}


def add_to(commands: Any) -> None:
    """The command and its options."""
    command = commands.add_parser(
        "verify",
        help="check every claim for a backend or for your own penalty",
        description="Check every claim for a backend (a name of `gradreg backends`), or for one "
        "penalty: path/to/file.py:penalty or package.module:penalty, which is imported and run.",
    )
    command.add_argument(
        "target", nargs="?", help="torch, jax, auto, path/to/file.py:penalty, module:penalty"
    )
    what = command.add_argument_group("what the penalty is meant to be (or use @declare)")
    what.add_argument("--kind", choices=PENALTIES)
    what.add_argument("--probe", choices=get_args(Law))
    what.add_argument("--num-probes", type=int)
    what.add_argument("--shared-probe", action="store_true", default=None)
    what.add_argument("--side", choices=get_args(Side))
    what.add_argument("--scale", type=float, help="0.5 for ½ × the penalty")
    what.add_argument("--reduction", choices=get_args(Reduction))
    what.add_argument("--loss", choices=get_args(Loss), help="of doubleback")
    what.add_argument(
        "--arguments", type=lambda s: tuple(s.split(",")), help="in order, as in model,x,y"
    )
    where = command.add_argument_group("where and how")
    where.add_argument("--framework", default="torch", help="of the function's models")
    where.add_argument("--device", default="cpu", help="one of `gradreg backends`, or auto")
    where.add_argument(
        "--dtype", action="append", help="whose rounding is checked (default float32; repeatable)"
    )
    where.add_argument("--seed", type=int, default=None)
    where.add_argument("--profile", choices=("ci", "long"), default="ci")
    where.add_argument("--time-limit", type=float, default=10.0, help="seconds a call computes")
    out = command.add_argument_group("what comes of it")
    out.add_argument(
        "--report", type=Path, action="append", default=[], help="out.json, .md, .html or .bib"
    )
    out.add_argument("--waivers", type=Path, help="TOML file of accepted failures with reasons")
    out.add_argument("--evidence", type=Path, help="JSON file that gathers evidence over runs")
    out.add_argument("--self-test", action="store_true", help="run the kit on its own catalogue")
    command.set_defaults(run=run)


DECLARED = (
    "probe",
    "num_probes",
    "shared_probe",
    "side",
    "scale",
    "reduction",
    "loss",
    "arguments",
)


def run(arguments: argparse.Namespace) -> int:
    """Exit status 0: all hold; 1: a claim fails; 2: not tested, or (ValueError) it cannot run."""
    if arguments.target is None and not arguments.self_test:
        raise ValueError(f"expected what to verify: {', '.join(names())}, or file.py:penalty")
    for path in arguments.report:
        render.require_format(path)
    if not arguments.time_limit > 0:
        raise ValueError(f"expected --time-limit > 0, got {arguments.time_limit:g}")
    tested, status = "not run", 0
    if arguments.self_test:
        trials = self_test(show_trial, arguments.device)
        tested, status = score(trials), 0 if all(t.ok for t in trials) else 1
        print(tested)
    if arguments.target is None:
        return status
    report = replace(verified(arguments), self_test=tested)
    show_end(report)
    for path in arguments.report:
        render.write(report, path)
        print(f"written: {path}")
    if arguments.evidence is not None:
        said, refuted = e_values.accumulate(arguments.evidence, report)
        print(said)
        status = max(status, int(refuted))
    return max(status, report.status)


def verified(arguments: argparse.Namespace) -> Report:
    """The report on a backend, or on a function in a process of its own."""
    seed = arguments.seed
    if seed is None:
        seed = secrets.randbelow(2**31) if arguments.profile == "long" else 4
    options: dict[str, Any] = {
        "device": arguments.device,
        "dtypes": tuple(arguments.dtype) if arguments.dtype else None,
        "seed": seed,
        "profile": arguments.profile,
        "time_limit": arguments.time_limit,
        "waivers": waivers.read(arguments.waivers) if arguments.waivers else None,
    }
    declared = {name: getattr(arguments, name) for name in DECLARED}
    given = {name: value for name, value in declared.items() if value is not None}
    if arguments.target.endswith(".py"):
        raise ValueError(
            f"expected a function of the file, as in {arguments.target}:penalty, got the file alone"
        )
    if ":" not in arguments.target:
        known = [*names(), "auto"]
        checks.choice("what to verify (or file.py:penalty)", arguments.target, known)
        if arguments.kind or given:
            raise ValueError("expected --kind and its options with a function, not with a backend")
        backend, options["device"] = choose(arguments.target, arguments.device)
        if "auto" in (arguments.target, arguments.device):
            print(f"auto: {backend.name} on {options['device']}")
        report = verify(backend, progress=show, **options)
        history.remember(report)
        return report
    _, options["device"] = choose(arguments.framework, arguments.device)
    options |= given | {"kind": arguments.kind, "framework": arguments.framework}
    return verify_isolated(arguments.target, show, options)


def show(result: Result) -> None:
    """A verdict as it comes; those that do not apply are counted at the end."""
    if result.verdict != "NOT-APPLICABLE":
        line = str(result)
        if sys.stdout.isatty():
            colour = COLOURS[result.verdict]
            line = line.replace(result.verdict, f"\033[{colour}m{result.verdict}\033[0m", 1)
        print(line, flush=True)


def show_trial(trial: Trial) -> None:
    """An entry of the catalogue as it is judged."""
    verdict = "ok  " if trial.ok else "MISS"
    claim = trial.claim or "right"
    print(
        f"{verdict} {claim:5} {trial.mistake or '-':8} {trial.entry}  {trial.formula}", flush=True
    )


def show_end(report: Report) -> None:
    """What the verdicts add up to, how far they reach, and what is wrong."""
    print(f"\n{report.target}: {report.counts}")
    print(f"declared: {report.declared}")
    rounding = ", ".join(report.dtypes) or "no other"
    print(f"tier: {report.tier}; formulas in float64, rounding in {rounding};")
    print(f"      {report.framework} on {report.device}; seed {report.seed}")
    if report.diagnosis is not None:
        print(f"\n{report.diagnosis}")
