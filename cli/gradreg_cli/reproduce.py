"""``gradreg reproduce``: the poster's experiments, as tables beside its own."""

import argparse
import shlex
from pathlib import Path
from typing import Any

from gradreg_experiments.needs import TRAINING, need
from gradreg_experiments.reproduce import DATA

from gradreg_cli.agree import OUT
from gradreg_cli.parser import given
from gradreg_cli.train import JOBS
from gradreg_verify.frameworks.registry import choose

_NAMES = [*DATA]
# Options that change the numbers, of tables alone, and of the toy problem alone.
_RECORDED = "data seeds iterations width budget amp on row arm protocol stack_seeds compile device"
_RECORDED += " problem noise"
_EXAMPLES = f"""experiments:
  {", ".join(_NAMES[:5])},
  {", ".join(_NAMES[5:])}, all

examples:
  gradreg reproduce toy
  gradreg reproduce weight-decay --seeds 2
  gradreg reproduce weight-decay --data data --on mnist --arm SpectReg
  gradreg reproduce all --data data --budget 2h --jobs 4
"""
_OF_TABLES = "on row arm width budget jobs stack_seeds amp compile protocol"
_OF_TOY = "problem noise"


def add_to(commands: Any) -> None:
    """The command and its options."""
    command = commands.add_parser(
        "reproduce",
        help="run the paper's experiments, and print the results beside the published ones",
        description="Train the networks of one experiment of the paper, or of all, and print the "
        "accuracies beside the figures that the authors published on their poster. Runs that have "
        "a result already are not trained again, so the same command continues after a stop. "
        "Needs pip install '.[experiments]'. docs/experiments.md describes every experiment.",
        epilog=_EXAMPLES,
    )
    add = command.add_argument
    add(
        "experiment",
        choices=(*_NAMES, "all"),
        help="an experiment of the paper, or all",
        metavar="EXPERIMENT",
    )
    add("--data", type=Path, metavar="DIR", help="folder with data sets (default: the digits)")
    some = "append"
    add("--on", action=some, default=[], metavar="DATA", help="use only this data set; repeatable")
    add("--row", action=some, default=[], help="train only this row of the table; repeatable")
    add("--arm", action=some, default=[], help="train only this penalty; repeatable")
    add("--out", type=Path, default=Path("results/paper"), metavar="DIR", help=OUT)
    add("--seeds", type=int, metavar="N", help="number of seeds (default: 10)")
    add("--iterations", type=int, metavar="N", help="training steps (default: as in the paper)")
    add(
        "--width",
        type=int,
        metavar="N",
        help="residual net: times (16, 32, 64) filters (default: 3, as in the paper)",
    )
    add(
        "--budget",
        metavar="TIME",
        help="most training time, as in 90s, 10min or 2h: trains fewer seeds, then fewer steps",
    )
    add("--jobs", type=int, default=1, metavar="N", help=JOBS)
    add("--stack-seeds", action="store_true", help="train the seeds of a cell as one model")
    add("--tables", action="store_true", help="train nothing, and write the tables again")
    add("--device", default="cpu", help="a device that `gradreg backends` lists, or auto")
    add(
        "--amp",
        default="",
        choices=("bfloat16", "float16"),
        help="run the forward pass in this dtype, under torch.autocast",
    )
    add(
        "--protocol",
        default="paper",
        help="paper (default), or reduced: CIFAR with a small net and 1500 steps",
    )
    add("--problem", default="sin", help="toy: sin (default), square, radial or step")
    add(
        "--noise",
        type=float,
        default=0.1,
        help="toy: standard deviation of the labels' noise (default: 0.1)",
    )
    add("--compile", action="store_true", help="torch.compile every step")
    command.set_defaults(run=run, default=command.get_default)


def run(arguments: argparse.Namespace) -> int:
    """0: all was run; 1: a claim fails; 2: something could not be run."""
    need("reproduce", *TRAINING)
    from gradreg_experiments.reproduce.run import reproduce

    name = arguments.experiment
    if name == "toy" and (useless := given(arguments, _OF_TABLES)):
        raise ValueError(
            "expected --seeds, --iterations, --problem, --noise, --device, --out or --tables for "
            f"the toy problem, got {' '.join(useless)}"
        )
    if name != "toy" and given(arguments, _OF_TOY):
        raise ValueError(f"expected --problem and --noise with toy alone, got {name}")
    arguments.recorded = shlex.join(["gradreg", "reproduce", name, *given(arguments, _RECORDED)])
    _, arguments.device = choose("torch", arguments.device)
    return reproduce(_NAMES if name == "all" else [name], arguments)
