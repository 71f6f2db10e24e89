"""``gradreg quickstart``: check the torch backend, train the toy problem, draw a figure."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from gradreg_experiments.needs import need

from gradreg_cli.agree import OUT
from gradreg_cli.parser import given
from gradreg_verify.frameworks.registry import choose


def add_to(commands: Any) -> None:
    """Add the command and its options."""
    command = commands.add_parser(
        "quickstart", help="check the torch backend, train the toy problem, draw a figure"
    )
    add = command.add_argument
    add("--full", action="store_true", help="10,000 iterations and 10 seeds")
    add("--out", type=Path, default=Path("results/quickstart"), help=OUT)
    add("--device", default="cpu", help="a device of torch, or auto")
    add("--seeds", type=int, help="number of seeds (default: 5)")
    add("--iterations", type=int, help="number of iterations (default: 4000)")
    command.set_defaults(run=run, default=command.get_default)


def run(arguments: argparse.Namespace) -> int:
    """The main job; needs the extra `experiments`."""
    need("quickstart", "torch", "matplotlib", "rich")
    from gradreg_experiments.toy.quickstart import run as quickstart

    words = given(arguments, "full device seeds iterations")
    arguments.recorded = shlex.join(["gradreg", "quickstart", *words])
    _, arguments.device = choose("torch", arguments.device)
    return quickstart(arguments, full=arguments.full)
