"""How many seeds and iterations fit into a time, and how much certainty is lost."""

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from math import sqrt
from pathlib import Path
from time import monotonic
from typing import Any

import scipy

from gradreg_experiments.common import few
from gradreg_experiments.reproduce.statistics import LEVEL
from gradreg_experiments.runs import Run, images_of
from gradreg_experiments.runs.trainer import Trainer
from gradreg_verify.files import read_json, write_atomically
from gradreg_verify.frameworks.torch import one_thread

_LONGEST = 1e9  # a lifetime
_UNITS = {"s": 1, "min": 60, "h": 3600}
SEEDS, _FEWEST, LEAST_ITERATIONS = 10, 3, 100
_WARM_UP, _TIMED = 3, 10
_POSTER_SD = 0.2  # points, of a difference on MNIST


def seconds(text: str) -> float:
    """The seconds of "90s", "10min" or "2h"."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|min|h)", text)
    number = float(match[1]) * _UNITS[match[2]] if match else 0
    if not 0 < number < _LONGEST:
        raise ValueError(f"expected a budget such as 90s, 10min or 2h, got {text[:40]!r}")
    return number


def seconds_per_step(run: Run, folder: Path | None) -> float:
    """Seconds of a training step, measured on one thread."""
    trainer = Trainer([run], [images_of(run, folder)])
    with one_thread():
        for t in range(_WARM_UP):
            trainer.step(t)
        start = monotonic()
        for t in range(_WARM_UP, _WARM_UP + _TIMED):
            trainer.step(t)
    return (monotonic() - start) / _TIMED


@dataclass(frozen=True)
class Plan:
    """Seeds, the share of the iterations of each run, and a sentence on the certainty lost."""

    seeds: int
    share: float
    sentence: str

    def shortened(self, run: Run) -> Run:
        """The shorter run: never longer than before, and hardly shorter than `LEAST_ITERATIONS`."""
        least = max(LEAST_ITERATIONS, int(self.share * run.iterations))
        return replace(run, iterations=min(run.iterations, least))


def planned(path: Path, command: str, make: Callable[[], Plan]) -> Plan:
    """The plan of an earlier call of the same command, so that the command goes on with its runs.

    Raises
    ------
    ValueError
        The file is no plan.
    """

    def kept(record: Any) -> Plan | None:
        if record["command"] != command:
            return None
        if not 0 < record["share"] <= 1:
            raise ValueError(f"share = {record['share']}")
        seeds = few("seeds", record["seeds"])
        return Plan(seeds, float(record["share"]), str(record["sentence"]))

    what, remedy = "the plan of a budget", "delete it to plan anew"
    if path.exists() and (plan := read_json(path, what, kept, remedy=remedy)):
        return plan
    plan = make()
    write_atomically(path, json.dumps({"command": command} | asdict(plan)).encode())
    return plan


def fit(
    budget: float, runs: Sequence[Run], jobs: int, folder: Path | None, seeds: int = SEEDS
) -> Plan:
    """What fits into the time of training. Seeds are given up first, down to three; then
    iterations, the same share of every run's.
    """
    runs = list({run.id: run for run in runs}.values())
    steps = [(run, seconds_per_step(run, folder)) for run in runs]

    def taken(plan: Plan) -> float:
        one_seed = sum(step * plan.shortened(run).iterations for run, step in steps)
        return plan.seeds * one_seed / jobs

    fits, fewest = budget / taken(Plan(1, 1.0, "")), min(_FEWEST, seeds)
    if fits >= fewest:
        n = min(seeds, int(fits))
        return Plan(n, 1.0, f"{n} seeds fit: {_certainty(n)}.")
    plan = Plan(fewest, fits / fewest, "")
    share, minutes = taken(plan) / taken(replace(plan, share=1.0)), taken(plan) / 60
    too_long = f"take {minutes:.2g} min, which is too long (choose --row or --arm)"
    verdict = "fit" if 60 * minutes < 1.1 * budget else f"are the least, and {too_long}"
    sentence = (
        f"{fewest} seeds and {100 * share:.3g} % of the iterations {verdict}: "
        f"{_certainty(fewest)}, and the networks are trained for a shorter time."
    )
    return replace(plan, sentence=sentence)


def _certainty(n: int) -> str:
    """Half the width of a 95 % interval of a paired difference, in a sentence."""
    if n < 2:
        return "one seed has no interval"

    def half(n: int) -> float:
        return float(scipy.stats.t.ppf((1 + LEVEL) / 2, n - 1)) * _POSTER_SD / sqrt(n)

    return (
        f"if differences vary by {_POSTER_SD} points from seed to seed, a mean of {n} is known to "
        f"± {half(n):.2f} points (95 %; ± {half(SEEDS):.2f} with {SEEDS} seeds)"
    )
