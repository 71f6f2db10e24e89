"""Train the toy problem with torch, JAX and NumPy, step by step.

Train the paper's toy problem (sin 5x from noisy points) in float64 with torch, with JAX and, as a
small network, with NumPy, for every penalty. Compare loss, penalty and parameters after every step,
and write tables and a figure. The exit status is 1 if two runs differ by more than rounding
explains. Needs pip install '.[all]'.

examples:
  gradreg agree
  gradreg agree --steps 50 --out results/short
"""

import argparse

from gradreg_experiments.needs import need

from gradreg_cli.parser import OUT, add_count, add_folder


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    add_count(command, "--steps", "number of training steps (default: 200)", 200)
    add_folder(command, "--out", OUT, "results/agree")


def run(arguments: argparse.Namespace) -> int:
    """0: all runs stay together within rounding; 1: some do not."""
    need("agree", "torch", "jax", "optax", "matplotlib", "rich", extra="all")
    from gradreg_experiments.agreement.run import run as agree

    return agree(arguments.out, arguments.steps)
