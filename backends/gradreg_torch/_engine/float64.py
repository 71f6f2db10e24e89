"""Tensors in float64, in which trials compare: on the CPU where the device has no float64."""

from collections.abc import Sequence
from functools import cache

import torch
from torch import Tensor

from gradreg_torch._engine.sums import real


@cache
def float64_device(device: torch.device) -> torch.device:
    """The device, or the CPU if the device has no float64, as Apple's GPUs."""
    try:
        torch.empty(1, dtype=torch.float64, device=device)
    except (RuntimeError, TypeError):
        return torch.device("cpu")
    return device


def widest(device: torch.device) -> torch.dtype:
    """float64, or float32 if the device has no float64."""
    return torch.float64 if float64_device(device) == device else torch.float32


def with_float64(t: Tensor) -> Tensor:
    """t on its device, or on the CPU if its device has no float64."""
    return t.to(float64_device(t.device))


def in_float64(t: Tensor) -> Tensor:
    """t in float64, on the CPU if its device has none."""
    return with_float64(t).double()


def joined(tensors: Sequence[Tensor]) -> Tensor:
    """All entries in float64 as one vector, of tensors that may lie on several devices."""
    parts = [in_float64(real(t).flatten()) for t in tensors]
    return torch.cat([part.to(parts[0].device) for part in parts])
