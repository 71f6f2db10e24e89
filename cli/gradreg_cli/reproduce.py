"""``gradreg reproduce``: the poster's experiments, as tables beside its own."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from gradreg_experiments.needs import TRAINING, need
from gradreg_experiments.reproduce import DATA

from gradreg_cli.parser import given
from gradreg_verify.frameworks.registry import choose

NAMES = [*DATA]
# Options that change the numbers, of tables alone, and of the toy problem alone.
RECORDED = "data seeds iterations width budget amp on row arm protocol stack_seeds compile device"
RECORDED += " problem noise"
OF_TABLES = "on row arm width budget jobs stack_seeds amp compile protocol"
OF_TOY = "problem noise"


def add_to(commands: Any) -> None:
    """The command and its options."""
    command = commands.add_parser(
        "reproduce",
        help="the paper's experiments, as tables beside the poster's",
        epilog=f"experiments:\n  {', '.join(NAMES[:5])},\n  {', '.join(NAMES[5:])}, all",
    )
    add = command.add_argument
    add(
        "experiment",
        choices=(*NAMES, "all"),
        help="an experiment of the paper, or all",
        metavar="EXPERIMENT",
    )
    add("--data", type=Path, help="folder with data sets (default: the digits)")
    add("--on", action="append", default=[], help="only this data set")
    add("--row", action="append", default=[], help="train only this row")
    add("--arm", action="append", default=[], help="train only this arm")
    add("--out", type=Path, default=Path("results/paper"), help="folder (default: results/paper)")
    add("--seeds", type=int, help="number of seeds (default: 10)")
    add("--iterations", type=int, help="number of iterations (default: as in the paper)")
    add("--width", type=int, help="width of the residual net (default: 3, as in the paper)")
    add("--budget", help="a time such as 10min: fewer seeds, then fewer iterations")
    add("--jobs", type=int, default=1, help="number of processes, each with one thread")
    add("--stack-seeds", action="store_true", help="train the seeds of a cell as one model")
    add("--tables", action="store_true", help="run nothing, make the table anew")
    add("--device", default="cpu", help="a device of torch, or auto")
    add("--amp", default="", choices=("bfloat16", "float16"), help="autocast of the forward pass")
    add(
        "--protocol",
        default="paper",
        help="paper (default), or reduced: CIFAR with a small net and 1500 iterations",
    )
    add("--problem", default="sin", help="toy: sin, square, radial or step")
    add("--noise", type=float, default=0.1, help="toy: noise of the labels")
    add("--compile", action="store_true", help="torch.compile every step")
    command.set_defaults(run=run, default=command.get_default)


def run(arguments: argparse.Namespace) -> int:
    """0: all was run; 1: a claim fails; 2: something could not be run."""
    need("reproduce", *TRAINING)
    from gradreg_experiments.reproduce.run import reproduce

    name = arguments.experiment
    if name == "toy" and (useless := given(arguments, OF_TABLES)):
        raise ValueError(
            "expected --seeds, --iterations, --problem, --noise, --device, --out or --tables for "
            f"the toy problem, got {' '.join(useless)}"
        )
    if name != "toy" and given(arguments, OF_TOY):
        raise ValueError(f"expected --problem and --noise with toy alone, got {name}")
    arguments.recorded = shlex.join(["gradreg", "reproduce", name, *given(arguments, RECORDED)])
    _, arguments.device = choose("torch", arguments.device)
    return reproduce(NAMES if name == "all" else [name], arguments)
