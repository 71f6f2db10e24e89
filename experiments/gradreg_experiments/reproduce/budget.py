"""How many seeds and iterations fit into a time, and what that costs in certainty."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import sqrt
from pathlib import Path
from time import monotonic

from scipy import stats

from gradreg_experiments.reproduce.statistics import LEVEL
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.images import images_of
from gradreg_experiments.runs.trainer import Trainer
from gradreg_experiments.training import one_thread

UNITS = {"s": 1, "min": 60, "h": 3600}
SEEDS, FEWEST, LEAST_ITERATIONS = 10, 3, 100
WARM_UP, TIMED = 3, 10
POSTER_SD = 0.2  # points, of a difference on MNIST


def seconds(text: str) -> float:
    """Of "90s", "10min" or "2h"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)", text)
    if match is None or not float(match[1]):
        raise ValueError(f"expected a budget such as 90s, 10min or 2h, got {text!r}")
    return float(match[1]) * UNITS[match[2]]


def seconds_per_step(run: Run, folder: Path | None) -> float:
    """Measured on one thread."""
    trainer = Trainer([run], [images_of(run, folder)])
    with one_thread():
        for t in range(WARM_UP):
            trainer.step(t)
        start = monotonic()
        for t in range(WARM_UP, WARM_UP + TIMED):
            trainer.step(t)
    return (monotonic() - start) / TIMED


@dataclass(frozen=True)
class Plan:
    """Seeds, the share of each run's iterations, and a sentence on what that costs."""

    seeds: int
    share: float
    sentence: str

    def shortened(self, run: Run) -> Run:
        """Never longer than it was, and hardly shorter than `LEAST_ITERATIONS`."""
        least = max(LEAST_ITERATIONS, int(self.share * run.iterations))
        return replace(run, iterations=min(run.iterations, least))


def fit(
    budget: float, runs: Sequence[Run], jobs: int, folder: Path | None, seeds: int = SEEDS
) -> Plan:
    """What fits into the time of training. Seeds are given up first, down to three; then
    iterations, the same share of every run's.
    """
    one_seed = {run.id: seconds_per_step(run, folder) * run.iterations for run in runs}
    fits = budget * jobs / sum(one_seed.values())
    fewest = min(FEWEST, seeds)
    if fits >= fewest:
        n = min(seeds, int(fits))
        return Plan(n, 1.0, f"{n} seeds fit: {certainty(n)}.")
    plan = Plan(fewest, fits / fewest, "")
    taken = sum(
        one_seed[run.id] * plan.shortened(run).iterations / run.iterations
        for run in {run.id: run for run in runs}.values()
    )
    share, minutes = taken / sum(one_seed.values()), fewest * taken / jobs / 60
    verdict = "fit" if 60 * minutes < 1.1 * budget else f"are the least, and take {minutes:.2g} min"
    return replace(
        plan,
        sentence=f"{fewest} seeds and {100 * share:.3g} % of the iterations {verdict}: "
        f"{certainty(fewest)}, and the accuracies are those of shorter training.",
    )


def certainty(n: int) -> str:
    """Half of a 95 % interval of a paired difference."""
    if n < 2:
        return "one seed has no interval"

    def half(n: int) -> float:
        return float(stats.t.ppf((1 + LEVEL) / 2, n - 1)) * POSTER_SD / sqrt(n)

    return (
        f"if differences vary by {POSTER_SD} points from seed to seed, a 95 % interval is "
        f"± {half(n):.2f} points wide (± {half(SEEDS):.2f} with {SEEDS} seeds)"
    )
