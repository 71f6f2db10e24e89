"""What a step with the penalty costs here, in plain steps."""

from collections.abc import Callable
from statistics import median
from time import perf_counter, process_time

import torch

TURNS = 3


def in_plain_steps(
    plain: Callable[[], object], steps: dict[str, Callable[[], object]], device: torch.device
) -> dict[str, float]:
    """Median times of the steps over that of the plain one, taken in turns after one that warms."""
    times: dict[str, list[float]] = {name: [] for name in ("", *steps)}
    for turn in range(TURNS + 1):
        for name, step in {"": plain, **steps}.items():
            seconds = _seconds(step, device)
            if turn > 0:
                times[name].append(seconds)
    unit = median(times[""])
    return {name: median(times[name]) / unit for name in steps}


def _seconds(step: Callable[[], object], device: torch.device) -> float:
    """Of one step: of this process on the CPU, whatever else runs there; else to its end."""
    clock = process_time if device.type == "cpu" else perf_counter
    start = clock()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start
