"""What a run leaves behind: toy.csv, toy.json, toy.png and toy.svg."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from gradreg_experiments.files import made_here
from gradreg_experiments.result import or_null, write_result
from gradreg_experiments.toy import problem
from gradreg_experiments.toy.figure import figure
from gradreg_experiments.toy.table import HEAD, NOTE, POSTER, SOURCE, UNIT, cells, rows, runs
from gradreg_experiments.toy.training import Sweep
from gradreg_verify.report import history


def write(
    out: Path,
    sweeps: Sequence[Sweep],
    command: str,
    seconds: Mapping[str, float],
) -> list[Path]:
    """Write every file whole, and return the paths."""
    made = record(sweeps, command, seconds)
    return write_result(out, made["experiment"], runs(sweeps), made, figure(sweeps))


def record(sweeps: Sequence[Sweep], command: str, seconds: Mapping[str, float]) -> dict[str, Any]:
    """All that is needed to repeat the run, and the results."""
    setting, task = sweeps[0].setting, sweeps[0].setting.task
    found = rows(sweeps)
    return {
        "experiment": "toy" if task == problem.PAPER else f"toy-{task.problem}-{task.noise:g}",
        "title": f"Toy problem: {task}",
        "departures": NOTE.splitlines(),
        "source": SOURCE,
        "command": command,
        **made_here("matplotlib", "rich"),
        "device": setting.device,
        "dtype": str(setting.dtype).removeprefix("torch."),
        "seeds": list(setting.seeds),
        "iterations": setting.iterations,
        "settings": {
            "target": problem.PROBLEMS[task.problem][0],
            "inputs": f"uniform on [-1, 1]^{task.dimension}",
            "points": problem.POINTS,
            "noise": task.noise,
            "test_points": problem.TEST_POINTS,
            "widths": (task.dimension, *problem.HIDDEN, 1),
            "initialisation": "He, normal; biases 0",
            "optimiser": "Adam",
            "learning_rate": f"{problem.LEARNING_RATE}, x0.1 at 1/2, x0.01 at 3/4 of the run",
            "batch": problem.BATCH,
            "objective": "sum over the batch of (g - y)^2 / 2 + lambda * batch mean of the penalty",
            "probes": "gaussian, one a step, shared by the batch",
            "lambda": {s.penalty: s.lams for s in sweeps},
        },
        "verified": history.last("torch", setting.device, f"torch {torch.__version__}"),
        "seconds": {name: round(value, 1) for name, value in seconds.items()},
        "mse_unit": UNIT,
        "table": {"head": HEAD, "rows": [cells(r) for r in found]},
        "rows": [{name: or_null(v, ".4f") for name, v in asdict(r).items()} for r in found],
        "poster": {"source": SOURCE, "mse": {f"{lam:g}": mse for lam, mse in POSTER.items()}},
    }
