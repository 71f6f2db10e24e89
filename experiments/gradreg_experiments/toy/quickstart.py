"""The main job: verify the estimators on this machine, then train the paper's toy problem."""

from argparse import Namespace
from time import monotonic

from rich.console import Console

from gradreg_experiments.common import few
from gradreg_experiments.files import require_writable
from gradreg_experiments.result import write_result
from gradreg_experiments.terminal import Plain, progress
from gradreg_experiments.toy.figure import figure
from gradreg_experiments.toy.problem import PAPER, Setting, Task
from gradreg_experiments.toy.table import record, rows, runs, stem, table
from gradreg_experiments.toy.training import Sweep, sweep
from gradreg_experiments.verification import verified, verified_before
from gradreg_ref import checks

# SpectReg's grid is the poster's. DoubleBack weighs the squared slope at an example by its squared
# residual, about 0.1² once it is fitted, so its λ are larger; at the largest it learns a constant.
# Other noise needs other λ, so other tasks have only the λ of the poster.
_ROW = (0, 0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1)
SWEEPS: dict[str, tuple[float, ...]] = {
    "SpectReg": _ROW,
    "DoubleBack": (0.03, 0.1, 0.3, 1, 3, 10, 30),
}
_PAPER_ITERATIONS = 10_000
_QUICK, _FULL = (5, 4_000), (10, _PAPER_ITERATIONS)  # seeds, iterations


def run(
    request: Namespace,
    *,
    full: bool,
    task: Task = PAPER,
    again: bool = True,
    console: Console | None = None,
) -> int:
    """Verify, train, and write table and figure.

    Parameters
    ----------
    request : Namespace
        The options out, device, seeds and iterations, and the command that is recorded.
    full : bool
        Whether to take the paper's 10,000 iterations and 10 seeds, in place of 4,000 and 5.
    task : Task
        Another task than the paper's task.
    again : bool
        Check the claims even if this machine has a verdict on them.
    console : rich.console.Console, optional
        Where to print.

    Returns
    -------
    int
        0; 1 if a claim fails, and nothing is trained.
    """
    console, device, out = console or Plain(), request.device, request.out
    seeds, iterations = _FULL if full else _QUICK
    seeds = few("--seeds", seeds if request.seeds is None else request.seeds)
    if request.iterations is not None:
        iterations = checks.count("--iterations", request.iterations)
    require_writable(out, stem(task))
    start = monotonic()
    if again:
        console.print(f"1. Checking every claim for torch on {device}: about ten seconds.")
    if not (verified if again else verified_before)(device, console):
        console.print(f"Not trained: claims failed on {device}, as shown above.")
        return 1
    checked = monotonic()
    setting = Setting(tuple(range(1, seeds + 1)), iterations, device=device, task=task)
    sweeps = _trained(setting, console)
    seconds = {"verification": checked - start, "training": monotonic() - checked}
    console.print("3. Results, beside the figures of the authors' poster.")
    console.print(table(rows(sweeps), console.width))
    made = record(sweeps, request.recorded, seconds)
    paths = write_result(out, stem(task), runs(sweeps), made, figure(sweeps))
    spent = ", ".join(f"{name} {value:.0f} s" for name, value in seconds.items())
    console.print(f"Written: {', '.join(map(str, paths))}. Time: {spent}.", soft_wrap=True)
    return 0


def _trained(setting: Setting, console: Console) -> list[Sweep]:
    """The sweep of every penalty."""
    more = f" (the authors' scripts train for {_PAPER_ITERATIONS:,}; use --full)"
    console.print(
        f"2. Training {setting.task} on {setting.device}: seeds 1 to {len(setting.seeds)}, "
        f"{setting.iterations} iterations{more * (setting.iterations < _PAPER_ITERATIONS)}."
    )
    sweeps = []
    for penalty, lams in SWEEPS.items() if setting.task == PAPER else [("SpectReg", _ROW)]:
        with progress(console, f"{penalty}, {len(lams)} λ", setting.iterations) as done:
            sweeps.append(sweep(penalty, lams, setting, done))
    return sweeps
