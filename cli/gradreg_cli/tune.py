"""Choose λ by the accuracy on validation images.

Train the network that a TOML file describes with several values of λ, the weight of the penalty, on
a logarithmic grid, and without a penalty. Choose the λ with the highest accuracy on validation
images, which the file must hold out (validation = 300). In a file with confidence and without
penalty, λ is the weight of the confidence penalty. Needs pip install '.[experiments]'.

examples:
  gradreg tune run.toml
  gradreg tune run.toml --from 0.001 --to 1 --points 7 --seeds 3
"""

import argparse

from gradreg_cli import train
from gradreg_cli.parser import OUT, add_count, add_folder, repeated

MORE = train.MORE


def add_options(tune: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = tune.add_argument
    low, high = "smallest λ (default: 0.0001)", "largest λ (default: 1)"
    add("--from", dest="low", type=float, default=1e-4, metavar="LOW", help=low)
    add("--to", dest="high", type=float, default=1.0, metavar="HIGH", help=high)
    add_count(tune, "--points", "number of values of λ (default: 9)", 9)
    add_count(tune, "--seeds", "train N seeds, from the file's seed on (default: 3)", 3)
    add_folder(tune, "--out", OUT, "results/tune")
    train.add_run(tune)


def run(arguments: argparse.Namespace) -> int:
    """0; 1: a claim fails; 2: a run could not be made."""
    described_run = train.described("tune", arguments.file)
    from gradreg_experiments.runs.tune import grid, tune

    low, high = arguments.low, arguments.high
    words = arguments.file, "--from", low, "--to", high
    arguments.recorded = repeated(arguments, *words, options="points seeds data")
    return tune(described_run, grid(low, high, arguments.points), arguments)
