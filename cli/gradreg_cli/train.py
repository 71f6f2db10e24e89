"""``gradreg train``: the run that a file describes."""

import argparse
from pathlib import Path
from typing import Any

from gradreg_experiments.needs import TRAINING, need

from gradreg_cli.agree import OUT
from gradreg_verify.files import read_toml

RUN = "a run in TOML"
JOBS = "number of processes, each with one thread (default: 1)"
TOML = """

run.toml describes a run (docs/experiments.md has all keys), for example:
  data = "digits"
  train = 500                     # number of training images
  validation = 300                # number of images to choose λ by (tune)
  network = "lenet"
  seed = 1
  penalty = "spectreg"
  lam = 0.03                      # λ, the weight of the penalty
"""
_EXAMPLES = f"""examples:
  gradreg train run.toml
  gradreg train run.toml --seeds 3 --out results/mine
  gradreg train run.toml --data data{TOML}"""


def add_to(commands: Any) -> None:
    """Add the command and its options."""
    train = commands.add_parser(
        "train",
        help="train the run that a TOML file describes",
        description="Train the network that a TOML file describes, with the file's penalty, and "
        "print its accuracy on test images. A run that has a result already is not trained again. "
        "Needs pip install '.[experiments]'.",
        epilog=_EXAMPLES,
    )
    add = train.add_argument
    add("--seeds", type=int, metavar="N", help="train N seeds, from the file's seed on")
    add("--stack-seeds", action="store_true", help="train the seeds as one model")
    add("--out", type=Path, default=Path("results/runs"), metavar="DIR", help=OUT)
    train.set_defaults(run=run)
    add_run(train)


def add_run(command: argparse.ArgumentParser) -> None:
    """Add what `train` and `tune` have in common."""
    add = command.add_argument
    add("file", type=Path, metavar="run.toml", help="a file that describes the run, see below")
    add("--data", type=Path, metavar="DIR", help="folder with data sets; digits need none")
    add("--jobs", type=int, default=1, metavar="N", help=JOBS)


def run(arguments: argparse.Namespace) -> int:
    """0; 1: a claim fails; 2: a run could not be made."""
    need("train", *TRAINING)
    read_toml(arguments.file, RUN)  # now, and not after the seconds that torch takes to import
    from gradreg_experiments.runs import from_toml
    from gradreg_experiments.runs.one import run_all

    return run_all(from_toml(arguments.file), arguments)
