"""``gradreg tune``: the λ of the run that a file describes."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from gradreg_experiments.needs import TRAINING, need

from gradreg_cli.agree import OUT
from gradreg_cli.train import RUN, TOML, add_run
from gradreg_verify.files import read_toml

_EXAMPLES = f"""examples:
  gradreg tune run.toml
  gradreg tune run.toml --from 0.001 --to 1 --points 7 --seeds 3{TOML}"""


def add_to(commands: Any) -> None:
    """Add the command and its options."""
    tune = commands.add_parser(
        "tune",
        help="choose λ by the accuracy on validation images",
        description="Train the network that a TOML file describes with several values of λ, the "
        "weight of the penalty, on a logarithmic grid, and without a penalty. Choose the λ with "
        "the highest accuracy on validation images, which the file must hold out "
        "(validation = 300). In a file with confidence and without penalty, λ is the weight of "
        "the confidence penalty. Needs pip install '.[experiments]'.",
        epilog=_EXAMPLES,
    )
    add = tune.add_argument
    add(
        "--from",
        dest="low",
        type=float,
        default=1e-4,
        metavar="LOW",
        help="smallest λ (default: 0.0001)",
    )
    add("--to", dest="high", type=float, default=1.0, metavar="HIGH", help="largest λ (default: 1)")
    add("--points", type=int, default=9, metavar="N", help="number of values of λ (default: 9)")
    add(
        "--seeds",
        type=int,
        default=3,
        metavar="N",
        help="train N seeds, from the file's seed on (default: 3)",
    )
    add("--out", type=Path, default=Path("results/tune"), metavar="DIR", help=OUT)
    tune.set_defaults(run=run)
    add_run(tune)


def run(arguments: argparse.Namespace) -> int:
    """0; 1: a claim fails; 2: a run could not be made."""
    need("tune", *TRAINING)
    read_toml(arguments.file, RUN)
    from gradreg_experiments.runs import from_toml
    from gradreg_experiments.runs.tune import grid, tune

    words = ["gradreg", "tune", str(arguments.file)]
    words += ["--from", f"{arguments.low:g}", "--to", f"{arguments.high:g}"]
    words += ["--points", str(arguments.points), "--seeds", str(arguments.seeds)]
    arguments.recorded = shlex.join(
        words + (["--data", str(arguments.data)] if arguments.data else [])
    )
    lams = grid(arguments.low, arguments.high, arguments.points)
    return tune(from_toml(arguments.file), lams, arguments)
