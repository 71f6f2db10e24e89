"""What `gradreg reproduce --stack-seeds` saves: the LeNet of the paper, on scikit-learn's digits.

python benchmarks/stacked_seeds.py --out benchmarks/results/stacked_cpu.json
"""

import statistics
from collections.abc import Callable
from dataclasses import replace
from itertools import count
from time import perf_counter
from typing import Any

import timing
import torch
from gradreg_experiments.reproduce.settings import SETTINGS, arm
from gradreg_experiments.runs.images import images_of
from gradreg_experiments.runs.trainer import Trainer

from gradreg_verify.frameworks.registry import load
from gradreg_verify.frameworks.torch import one_thread

ARMS = ("baseline", "SpectReg", "DoubleBack")
SEEDS = (1, 3, 5, 10)
WARM_UP = 3  # steps


def stepper(name: str, seeds: int, device: str) -> Callable[[], float]:
    """Seconds of one step of that many networks, trained as one."""
    setting = SETTINGS["digits"]
    run = arm(replace(setting.run, device=device), name, setting.lams.get(name, 0))
    runs = [replace(run, seed=seed) for seed in range(1, seeds + 1)]
    trainer, steps = Trainer(runs, [images_of(one, None) for one in runs]), count()

    def clock() -> float:
        start = perf_counter()
        trainer.step(next(steps))
        if device != "cpu":
            torch.accelerator.synchronize(device)
        return perf_counter() - start

    for _ in range(WARM_UP):
        clock()
    return clock


def rows(name: str, turns: int, device: str) -> list[dict[str, Any]]:
    """Milliseconds of a step, and how many times faster than the networks one by one."""
    clocks = {str(seeds): stepper(name, seeds, device) for seeds in SEEDS}
    taken = timing.take_turns(clocks, turns)
    out = []
    for seeds in SEEDS[1:]:
        speed_up = [seeds * t / s for t, s in zip(taken["1"], taken[str(seeds)], strict=True)]
        out.append(
            {
                "arm": name,
                "seeds": seeds,
                "milliseconds": round(1e3 * statistics.median(taken[str(seeds)]), 2),
                "speed_up": round(statistics.median(speed_up), 3),
                "quartiles": [round(q, 3) for q in statistics.quantiles(speed_up, n=4)],
            }
        )
    return out


def main() -> None:
    """Time all arms."""
    given = timing.checked(timing.parser(__doc__), load("torch"))
    with one_thread():
        found = [row for name in ARMS for row in rows(name, given.turns, given.device)]
    timing.finish(timing.provenance("torch", torch.__version__, given.device), found, given.out)


if __name__ == "__main__":
    main()
