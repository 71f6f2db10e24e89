"""One run on several devices: each process takes its rows of every batch.

Started by torchrun. Batches, probes and masks are drawn for the whole batch by every process, so
that the gradient is that of one process to rounding; batch norm sees its own rows alone, as under
DDP, and what is kept is the first process's.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist
from torch import Tensor, nn


@contextmanager
def processes(device: str) -> Iterator[None]:
    """Those of torchrun, if it started this one."""
    if "RANK" not in os.environ:
        yield
        return
    dist.init_process_group("nccl" if device.startswith("cuda") else "gloo")
    try:
        yield
        dist.barrier()  # the others wait for what the first has to keep
    finally:
        dist.destroy_process_group()


def size() -> int:
    """How many there are."""
    return dist.get_world_size() if dist.is_initialized() else 1


def first() -> bool:
    """Whether this process keeps what comes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def agreed(verdict: bool, device: str) -> bool:
    """That of the first process, in all: none goes on alone."""
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
    """Over processes."""
    if size() > 1:
        dist.all_reduce(a)
        a = a / size()
    return a


def device_of(device: str) -> str:
    """A GPU for each process, where it is one."""
    if device == "cuda" and dist.is_initialized():
        return f"cuda:{int(os.environ['LOCAL_RANK']) % torch.cuda.device_count()}"
    return device
