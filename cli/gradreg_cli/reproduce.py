"""Run the paper's experiments beside the published results.

Train the networks of one experiment of the paper, or of all, and print the accuracies beside the
figures that the authors published on their poster. Runs that have a result already are not trained
again, so the same command continues after a stop. Needs pip install '.[experiments]'.
docs/experiments.md describes every experiment.

examples:
  gradreg reproduce toy
  gradreg reproduce weight-decay --seeds 2
  gradreg reproduce weight-decay --data data --on mnist --arm SpectReg
  gradreg reproduce all --data data --budget 2h --jobs 4
"""

import argparse

from gradreg_experiments.needs import TRAINING, need
from gradreg_experiments.reproduce import DATA

from gradreg_cli.parser import OUT, add_count, add_folder, given, repeated
from gradreg_cli.train import JOBS
from gradreg_verify.frameworks.registry import choose

_NAMES = [*DATA]
# Options that change the numbers, of tables alone, and of the toy problem alone.
_RECORDED = "data seeds iterations width budget amp on row arm protocol stack_seeds compile device"
_RECORDED += " problem noise"
MORE = f"\n\nexperiments:\n  {', '.join(_NAMES[:5])},\n  {', '.join(_NAMES[5:])}, all"
_OF_TABLES = "on row arm width budget jobs stack_seeds amp compile protocol"
_OF_TOY = "problem noise"


def add_options(command: argparse.ArgumentParser) -> None:
    """Add the options."""
    add = command.add_argument
    every, text = (*_NAMES, "all"), "an experiment of the paper, or all"
    add("experiment", choices=every, metavar="EXPERIMENT", help=text)
    add_folder(command, "--data", "folder with data sets (default: scikit-learn's digits)")
    some = "append"
    add("--on", action=some, default=[], metavar="DATA", help="use only this data set; repeatable")
    add("--row", action=some, default=[], help="train only this row of the table; repeatable")
    add("--arm", action=some, default=[], help="train only this penalty; repeatable")
    add_folder(command, "--out", OUT, "results/paper")
    add_count(command, "--seeds", "number of seeds (default: 10)")
    add_count(command, "--iterations", "training steps (default: as in the paper)")
    text = "residual net: times (16, 32, 64) filters (default: 3, as in the paper)"
    add_count(command, "--width", text)
    text = "limit of the training time, such as 10min or 2h: trains fewer seeds, then fewer steps"
    add("--budget", metavar="TIME", help=text)
    add_count(command, "--jobs", JOBS, 1)
    add("--stack-seeds", action="store_true", help="train all seeds of a penalty as one model")
    add("--tables", action="store_true", help="train nothing, and write the tables again")
    add("--device", default="cpu", help="a device that `gradreg backends` lists, or auto")
    text = "run the forward pass in this dtype, under torch.autocast"
    add("--amp", default="", choices=("bfloat16", "float16"), help=text)
    text = "paper (default), or reduced: CIFAR with a small net and 1500 steps"
    add("--protocol", default="paper", help=text)
    add("--problem", default="sin", help="toy: sin (default), square, radial or step")
    text = "toy: standard deviation of the labels' noise (default: 0.1)"
    add("--noise", type=float, default=0.1, help=text)
    add("--compile", action="store_true", help="torch.compile every step")


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
    arguments.recorded = repeated(arguments, name, options=_RECORDED)
    _, arguments.device = choose("torch", arguments.device)
    return reproduce(_NAMES if name == "all" else [name], arguments)
