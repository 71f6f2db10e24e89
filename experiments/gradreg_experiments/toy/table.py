"""The results of a sweep: a table beside the poster's row, and the record that is kept."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.table import Table

from gradreg_experiments.files import made_here
from gradreg_experiments.result import or_null
from gradreg_experiments.terminal import fitting, or_dash
from gradreg_experiments.toy import problem
from gradreg_experiments.toy.training import Sweep
from gradreg_verify.report import history

UNIT = 1e-5
_Row = dict[str, Any]  # one λ of one penalty
# λ: MSE in UNIT. SpectReg, as printed.
POSTER = {0: 16.6, 0.001: 24.5, 0.003: 2.5, 0.01: 2.3, 0.03: 1.6, 0.1: 3.4, 0.3: 74.9, 1: 497.7}
_SOURCE = "Varga, Csiszárik, Zombori, poster of arXiv:1712.09936, toy problem"
_NOTE = (
    "MSE on 900 noiseless grid points: mean and standard deviation over seeds. Ratio: the MSE "
    "divided by the MSE of λ = 0 with the same data, initialisation and batches; mean and standard "
    "deviation over seeds. Better: the number of seeds whose MSE is below that of λ = 0.\n"
    f"Poster: {_SOURCE}, SpectReg. Its setting is not known, so compare shapes and ratios with it, "
    "not values."
)


def rows(sweeps: Sequence[Sweep]) -> list[_Row]:
    """A row for each λ. The first λ of the first sweep is 0, and the baseline of all rows."""
    baseline = sweeps[0].mse[:, 0]
    if sweeps[0].lams[0] != 0:
        raise ValueError(f"expected a first sweep that begins with λ = 0, got {sweeps[0].lams}")
    return [
        row(s.penalty, lam, mse, baseline)
        for s in sweeps
        for lam, mse in zip(s.lams, s.mse.T, strict=True)
    ]


def row(penalty: str, lam: float, mse: NDArray[np.float64], baseline: NDArray[np.float64]) -> _Row:
    """Statistics over the seeds (s,): MSE in `UNIT`, sd with n − 1, nan for one seed."""
    ratio, n = mse / baseline, len(mse)
    sds = [float(a.std(ddof=1)) if n > 1 else float("nan") for a in (mse / UNIT, ratio)]
    return {
        "penalty": penalty if lam else "none",
        "lam": lam,
        "mse": float(mse.mean() / UNIT),
        "mse_sd": sds[0],
        "ratio": float(ratio.mean()),
        "ratio_sd": sds[1],
        "better": int((mse < baseline).sum()),
        "seeds": n,
        "poster": POSTER.get(lam) if penalty == "SpectReg" else None,
    }


_HEAD = ("penalty", "λ", "MSE/1e-5", "sd", "ratio", "sd", "better", "poster", "ratio")


def table(rows: Sequence[_Row], width: int) -> Table:
    """The rows as printed, with as many columns as the width has room for."""
    out = fitting(_HEAD, [_cells(r) for r in rows], width, words="penalty")
    out.caption, out.caption_justify, out.caption_style = _NOTE, "left", ""
    for r, following in zip(rows, [*rows[1:], None], strict=True):
        last = following is not None and following["penalty"] != r["penalty"]
        out.add_row(*_cells(r)[: len(out.columns)], end_section=last)
    return out


def _cells(r: _Row) -> list[str]:
    """The texts under `_HEAD`."""
    return [
        r["penalty"],
        f"{r['lam']:g}",
        f"{r['mse']:.1f}",
        or_dash(r["mse_sd"], ".1f"),
        f"{r['ratio']:.2f}",
        or_dash(r["ratio_sd"], ".2f"),
        f"{r['better']}/{r['seeds']}" if r["lam"] else "–",
        or_dash(r["poster"], ".1f"),
        or_dash(r["poster"] and r["poster"] / POSTER[0], ".2f"),
    ]


def stem(task: problem.Task) -> str:
    """The name of the result of a task."""
    return "toy" if task == problem.PAPER else f"toy-{task.problem}-{task.noise:g}"


def runs(sweeps: Sequence[Sweep]) -> Iterator[tuple[Any, ...]]:
    """A head, and a line for each network; MSE is not in `UNIT`."""
    yield "penalty", "lambda", "seed", "mse"
    for s in sweeps:
        for lam, own in zip(s.lams, s.mse.T, strict=True):
            for seed, mse in zip(s.setting.seeds, own, strict=True):
                yield s.penalty if lam else "none", lam, seed, f"{mse:.6g}"


def record(sweeps: Sequence[Sweep], command: str, seconds: Mapping[str, float]) -> dict[str, Any]:
    """Return all that is needed to repeat the run, and the results."""
    setting, task = sweeps[0].setting, sweeps[0].setting.task
    found = rows(sweeps)
    return {
        "experiment": stem(task),
        "title": f"Toy problem: {task}",
        "departures": _NOTE.splitlines(),
        "source": _SOURCE,
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
        "table": {"head": _HEAD, "rows": [_cells(r) for r in found]},
        "rows": [{name: or_null(v, ".4f") for name, v in r.items()} for r in found],
        "poster": {"source": _SOURCE, "mse": {f"{lam:g}": mse for lam, mse in POSTER.items()}},
    }
