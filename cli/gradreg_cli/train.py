"""Train the run that a TOML file describes.

Train the network that a TOML file describes, with the file's penalty, and print its accuracy on
test images. A run that has a result already is not trained again. Needs pip install
'.[experiments]'.

examples:
  gradreg train run.toml
  gradreg train run.toml --seeds 3 --out results/mine
  gradreg train run.toml --data data
"""

import argparse
from pathlib import Path
from typing import Any

from gradreg_experiments.needs import TRAINING, need

from gradreg_cli.parser import OUT, add_count, add_folder
from gradreg_verify.files import read_toml

JOBS = "number of processes, each with one thread (default: 1)"
MORE = """

run.toml describes a run (docs/experiments.md has all keys), for example:
  data = "digits"
  train = 500                     # number of training images
  validation = 300                # number of images to choose λ by (tune)
  network = "lenet"
  seed = 1
  penalty = "spectreg"
  lam = 0.03                      # λ, the weight of the penalty
"""


def add_options(train: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_count(train, "--seeds", "train N seeds, from the file's seed on")
    train.add_argument("--stack-seeds", action="store_true", help="train the seeds as one model")
    add_folder(train, "--out", OUT, "results/runs")
    add_run(train)


def add_run(command: argparse.ArgumentParser) -> None:
    """Add what `train` and `tune` have in common."""
    text = "a file that describes the run, see below"
    command.add_argument("file", type=Path, metavar="run.toml", help=text)
    add_folder(command, "--data", "folder with data sets; not needed for digits")
    add_count(command, "--jobs", JOBS, 1)


def described(command: str, file: Path) -> Any:
    """The run that a file describes, for `train` and `tune`."""
    need(command, *TRAINING)
    read_toml(file, "a run in TOML")  # now, and not after the seconds that torch takes to import
    from gradreg_experiments.runs import from_toml

    return from_toml(file)


def run(arguments: argparse.Namespace) -> int:
    """0; 1: a claim fails; 2: a run could not be made."""
    described_run = described("train", arguments.file)
    from gradreg_experiments.runs.one import run_all

    return run_all(described_run, arguments)
