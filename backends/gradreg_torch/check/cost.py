"""Time and memory of training steps on this machine."""

from collections.abc import Callable
from statistics import median
from time import perf_counter, process_time
from typing import Any
from weakref import finalize

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

_TURNS = 3
_Step = Callable[[], object]


def seconds(steps: dict[str, _Step], device: torch.device) -> dict[str, float]:
    """Median times of steps that have run once before; the steps are timed in turns."""
    turns = [{name: _once(step, device) for name, step in steps.items()} for _ in range(_TURNS)]
    return {name: median(turn[name] for turn in turns) for name in steps}


def _once(step: _Step, device: torch.device) -> float:
    """Return the seconds of a step: on the CPU those of this process alone."""
    clock = process_time if device.type == "cpu" else perf_counter
    start = clock()
    step()
    if device.type != "cpu":
        torch.accelerator.synchronize(device)
    return clock() - start


def peak_bytes(step: _Step, device: torch.device) -> int:
    """Most bytes that a step holds at once, beyond what is there before."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
        before = torch.cuda.memory_allocated(device)
        step()
        return torch.cuda.max_memory_allocated(device) - before
    for _ in range(2):  # the first step inside the mode may try the model again
        with _Held() as held:
            step()
    return held.most


class _Held(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Count the bytes that operations return while a tensor or a graph holds them."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.known: set[int] = set()
        self.now = self.most = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The operation; its new storages count."""
        there = {id(t.untyped_storage()) for t in tree_leaves((args, kwargs)) if _is_strided(t)}
        out = func(*args, **kwargs or {})
        for t in filter(_is_strided, tree_leaves(out)):
            storage = t.untyped_storage()
            if id(storage) not in self.known and id(storage) not in there:
                self.known.add(id(storage))
                self.now += storage.nbytes()
                finalize(storage, self.released, id(storage), storage.nbytes())
        self.most = max(self.most, self.now)
        return out

    def released(self, key: int, size: int) -> None:
        """Subtract the bytes of a storage that was freed."""
        self.known.discard(key)
        self.now -= size


def _is_strided(t: Any) -> bool:
    """Whether an argument is a tensor with a storage."""
    return isinstance(t, Tensor) and t.layout == torch.strided
