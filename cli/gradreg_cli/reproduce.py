"""``gradreg reproduce``: the poster's experiments, as tables beside its own."""

import argparse
import shlex
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from gradreg_verify.frameworks.registry import BackendUnavailable, choose

NAMES = (
    "toy",
    "weight-decay",
    "dropout-batchnorm",
    "train-size",
    "confidence-penalty",
    "semi-supervised",
    "tinyimagenet",
    "local-global",
    "initialisation",
    "probes",
)

AMP = ("bfloat16", "float16")


def add_to(commands: Any) -> None:
    """The command and its options."""
    command = commands.add_parser(
        "reproduce",
        help="the paper's experiments, as tables beside the poster's",
        epilog=f"experiments:\n  {', '.join(NAMES[:5])},\n  {', '.join(NAMES[5:])}, all",
    )
    command.add_argument(
        "experiment",
        choices=(*NAMES, "all"),
        help="an experiment of the paper, or all",
        metavar="EXPERIMENT",
    )
    command.add_argument("--data", type=Path, help="folder with data sets (default: the digits)")
    command.add_argument("--on", action="append", default=[], help="only this data set")
    command.add_argument("--row", action="append", default=[], help="train only this row")
    command.add_argument("--arm", action="append", default=[], help="train only this arm")
    command.add_argument(
        "--out", type=Path, default=Path("results/paper"), help="folder (default: results/paper)"
    )
    command.add_argument("--seeds", type=int, help="number of seeds (default: 10)")
    command.add_argument(
        "--iterations", type=int, help="number of iterations (default: as in the paper)"
    )
    command.add_argument(
        "--width", type=int, help="width of the residual net (default: 3, as in the paper)"
    )
    command.add_argument(
        "--budget", help="a time such as 10min: fewer seeds, then fewer iterations"
    )
    command.add_argument(
        "--jobs", type=int, default=1, help="number of processes, each with one thread"
    )
    command.add_argument(
        "--stack-seeds", action="store_true", help="train the seeds of a cell as one model"
    )
    command.add_argument("--tables", action="store_true", help="run nothing, make the table anew")
    command.add_argument("--device", default="cpu", help="a device of torch, or auto")
    command.add_argument(
        "--amp", default="", choices=AMP, help="autocast of the forward pass to bfloat16 or float16"
    )
    command.add_argument(
        "--protocol",
        default="paper",
        help="paper (default), or reduced: CIFAR with a small net and 1500 iterations",
    )
    command.add_argument("--problem", default="sin", help="toy: sin, square, radial or step")
    command.add_argument("--noise", type=float, default=0.1, help="toy: noise of the labels")
    command.add_argument("--compile", action="store_true", help="torch.compile every step")
    command.set_defaults(run=run)


def need(command: str) -> None:
    """What the experiments import."""
    for module in ("torch", "matplotlib", "rich", "sklearn", "PIL"):
        if find_spec(module) is None:
            raise BackendUnavailable(
                f"{command} needs {module}, which is not installed; "
                "pip install 'gradreg-ref[experiments]'"
            )


def run(arguments: argparse.Namespace) -> int:
    """0: all was run; 1: a claim fails; 2: something could not be run."""
    need("reproduce")
    from gradreg_experiments.reproduce.budget import seconds
    from gradreg_experiments.reproduce.request import Request
    from gradreg_experiments.reproduce.run import reproduce
    from gradreg_experiments.toy.problem import Task

    _, device = choose("torch", arguments.device)
    changes = {"device": device, "amp": arguments.amp, "compile": arguments.compile}
    request = Request(
        out=arguments.out,
        folder=arguments.data,
        data=tuple(arguments.on),
        rows=tuple(arguments.row),
        arms=tuple(arguments.arm),
        seeds=arguments.seeds,
        iterations=arguments.iterations,
        width=arguments.width,
        budget=None if arguments.budget is None else seconds(arguments.budget),
        jobs=arguments.jobs,
        stack=arguments.stack_seeds,
        tables=arguments.tables,
        changes=changes,
        command=command_line(arguments),
        protocol=arguments.protocol,
        task=Task(arguments.problem, arguments.noise),
    )
    names = NAMES if arguments.experiment == "all" else (arguments.experiment,)
    return reproduce(names, request)


def command_line(arguments: argparse.Namespace) -> str:
    """What gives these numbers; how many processes made them does not matter."""
    words = ["gradreg", "reproduce", arguments.experiment]
    for name in ("data", "seeds", "iterations", "width", "budget", "amp"):
        if (value := getattr(arguments, name)) not in (None, ""):
            words += [f"--{name}", str(value)]
    for name in ("on", "row", "arm"):
        words += [word for value in getattr(arguments, name) for word in (f"--{name}", value)]
    words += [] if arguments.protocol == "paper" else ["--protocol", arguments.protocol]
    words += ["--stack-seeds"] * arguments.stack_seeds + ["--compile"] * arguments.compile
    words += [] if arguments.device == "cpu" else ["--device", arguments.device]
    return shlex.join(words)
