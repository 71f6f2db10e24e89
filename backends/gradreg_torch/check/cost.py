"""What steps cost here."""

from collections.abc import Callable
from statistics import median
from time import perf_counter, process_time

import torch

_TURNS = 3


def seconds(steps: dict[str, Callable[[], object]], device: torch.device) -> dict[str, float]:
    """Median times of steps that have run once, taken in turns."""
    turns = [{name: _once(step, device) for name, step in steps.items()} for _ in range(_TURNS)]
    return {name: median(turn[name] for turn in turns) for name in steps}


def _once(step: Callable[[], object], device: torch.device) -> float:
    """Return the seconds of a step: on the CPU those of this process alone."""
    clock = process_time if device.type == "cpu" else perf_counter
    start = clock()
    step()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return clock() - start
