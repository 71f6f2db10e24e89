"""One run on several devices: each process takes its rows of every batch.

torchrun starts the processes. Every process draws batches, probes and masks for the whole batch, so
that the gradient is the gradient of one process, to rounding. Batch norm sees only the rows of its
process, as under DDP. The first process keeps the results.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn


@contextmanager
def processes(device: str) -> Iterator[None]:
    """Within, this process is one of the processes of torchrun, if torchrun started it.

    A process group that exists is used: torch cannot open a second one reliably, as the store of
    torchrun keeps the addresses of the first.
    """
    if "RANK" not in os.environ or dist.is_initialized():
        yield
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
        dist.barrier()  # the other processes wait until the first has written the results
    finally:
        dist.destroy_process_group()


def size() -> int:
    """Return the number of processes."""
    return dist.get_world_size() if dist.is_initialized() else 1


def first() -> bool:
    """Whether this process keeps the results."""
    return not dist.is_initialized() or dist.get_rank() == 0


def agreed(verdict: bool, device: str) -> bool:
    """The answer of the first process, in every process, so that all go on or none."""
    if size() > 1:
        said = torch.tensor(float(verdict), device=device_of(device))
        dist.broadcast(said, 0)
        verdict = bool(said)
    return verdict


def own(rows: Tensor) -> Tensor:
    """The rows of this process."""
    return rows[dist.get_rank() :: size()] if size() > 1 else rows


def average(model: nn.Module) -> None:
    """Gradients become their mean over processes."""
    for p in model.parameters():
        if size() > 1 and p.grad is not None:
            p.grad = mean(p.grad)


def mean(a: Tensor) -> Tensor:
    """The mean over processes."""
    if size() > 1:
        dist.all_reduce(a)
        a = a / size()
    return a


def device_of(device: str) -> str:
    """The device of this process: a GPU for each process, where the device is a GPU."""
    if device == "cuda" and dist.is_initialized():
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    return device
