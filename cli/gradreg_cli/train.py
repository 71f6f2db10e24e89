"""``gradreg train`` and ``gradreg tune``: the run that a file describes, and its λ."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from gradreg_cli.reproduce import need

OUT = "folder (default: %(default)s)"


def add_to(commands: Any) -> None:
    """Both commands and their options."""
    train = commands.add_parser("train", help="train the run that a TOML file describes")
    train.add_argument("--seeds", type=int, help="as many seeds from that of the file")
    train.add_argument("--stack-seeds", action="store_true", help="seeds as one model")
    train.add_argument("--out", type=Path, default=Path("results/runs"), help=OUT)
    train.set_defaults(run=run_train)

    tune = commands.add_parser("tune", help="find λ with validation images, on a log grid")
    tune.add_argument("--from", dest="low", type=float, default=1e-4, help="smallest λ")
    tune.add_argument("--to", dest="high", type=float, default=1.0, help="largest λ")
    tune.add_argument("--points", type=int, default=9)
    tune.add_argument("--seeds", type=int, default=3, help="as many seeds from that of the file")
    tune.add_argument("--out", type=Path, default=Path("results/tune"), help=OUT)
    tune.set_defaults(run=run_tune)

    for command in (train, tune):
        command.add_argument("file", type=Path, help="a run, see docs/experiments.md")
        command.add_argument("--data", type=Path, help="folder with data sets")
        command.add_argument("--jobs", type=int, default=1, help="processes, of one thread each")


def require_file(path: Path) -> None:
    """A sentence at once, and not after the seconds that torch takes to import."""
    if not path.is_file():
        raise ValueError(f"expected a run in TOML in {path}, got no such file")


def run_train(arguments: argparse.Namespace) -> int:
    """0; 1: a claim fails; 2: a run could not be made."""
    need("train")
    require_file(arguments.file)
    from gradreg_experiments.runs import from_toml
    from gradreg_experiments.runs.one import run_all
    from gradreg_experiments.runs.store import Store

    return run_all(
        from_toml(arguments.file),
        arguments.seeds,
        Store(arguments.out, arguments.data),
        arguments.jobs,
        arguments.stack_seeds,
    )


def run_tune(arguments: argparse.Namespace) -> int:
    """0; 1: a claim fails; 2: a run could not be made."""
    need("tune")
    require_file(arguments.file)
    from gradreg_experiments.runs import from_toml
    from gradreg_experiments.runs.tune import grid, tune

    words = ["gradreg", "tune", str(arguments.file)]
    words += ["--from", f"{arguments.low:g}", "--to", f"{arguments.high:g}"]
    words += ["--points", str(arguments.points), "--seeds", str(arguments.seeds)]
    words += ["--data", str(arguments.data)] if arguments.data else []
    return tune(
        from_toml(arguments.file),
        grid(arguments.low, arguments.high, arguments.points),
        arguments.seeds,
        arguments.out,
        arguments.data,
        arguments.jobs,
        shlex.join(words),
    )
