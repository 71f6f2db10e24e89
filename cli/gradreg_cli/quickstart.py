"""Check the torch backend, train the toy problem, draw a figure.

Verify the torch backend, train small networks on noisy points of sin 5x (the paper's toy problem)
with SpectReg and DoubleBack at several λ, and draw the test error against λ. Takes about 4 minutes
on one processor core. Needs pip install '.[experiments]'.

examples:
  gradreg quickstart
  gradreg quickstart --seeds 2 --iterations 1000 --out results/short
"""

import argparse

from gradreg_experiments.needs import need

from gradreg_cli.parser import OUT, add_count, add_folder, repeated
from gradreg_verify.frameworks.registry import choose


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = command.add_argument
    add("--full", action="store_true", help="10,000 iterations and 10 seeds, as in the paper")
    add_folder(command, "--out", OUT, "results/quickstart")
    add("--device", default="cpu", help="a device that `gradreg backends` lists, or auto")
    add_count(command, "--seeds", "number of seeds (default: 5)")
    add_count(command, "--iterations", "training steps of each network (default: 4000)")


def run(arguments: argparse.Namespace) -> int:
    """The main job; needs the extra `experiments`."""
    need("quickstart", "torch", "matplotlib", "rich")
    from gradreg_experiments.toy.quickstart import run as quickstart

    arguments.recorded = repeated(arguments, options="full device seeds iterations")
    _, arguments.device = choose("torch", arguments.device)
    return quickstart(arguments, full=arguments.full)
