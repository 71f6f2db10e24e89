"""``gradreg train``: the run that a file describes."""

import argparse
from pathlib import Path
from typing import Any

from gradreg_experiments.needs import TRAINING, need

from gradreg_cli.agree import OUT
from gradreg_verify.files import read_toml

RUN = "a run in TOML"
EXAMPLE = """a run in TOML (docs/experiments.md has all keys):
  data = "digits"
  train = 500
  network = "lenet"
  seed = 1
  penalty = "spectreg"
  lam = 0.03"""


def add_to(commands: Any) -> None:
    """Add the command and its options."""
    train = commands.add_parser(
        "train", help="train the run that a TOML file describes", epilog=EXAMPLE
    )
    add = train.add_argument
    add("--seeds", type=int, help="number of seeds, from the seed of the file on")
    add("--stack-seeds", action="store_true", help="train the seeds as one model")
    add("--out", type=Path, default=Path("results/runs"), help=OUT)
    train.set_defaults(run=run)
    add_run(train)


def add_run(command: argparse.ArgumentParser) -> None:
    """Add what `train` and `tune` have in common."""
    add = command.add_argument
    add("file", type=Path, help="a run in TOML, see below")
    add("--data", type=Path, help="folder with data sets")
    add("--jobs", type=int, default=1, help="number of processes, each with one thread")


def run(arguments: argparse.Namespace) -> int:
    """0; 1: a claim fails; 2: a run could not be made."""
    need("train", *TRAINING)
    read_toml(arguments.file, RUN)  # now, and not after the seconds that torch takes to import
    from gradreg_experiments.runs import from_toml
    from gradreg_experiments.runs.one import run_all

    return run_all(from_toml(arguments.file), arguments)
