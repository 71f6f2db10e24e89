"""The dtypes of torch by their names, and arrays to tensors and back."""

from typing import Any

import numpy as np
import torch
from gradreg_torch import MODES
from torch import Tensor, nn

from gradreg_ref.typing import Array
from gradreg_verify.frameworks import registry
from gradreg_verify.frameworks.registry import Capabilities, gibibytes, processor

DTYPES: dict[str, torch.dtype] = {name: getattr(torch, name) for name in registry.DTYPES}


def capabilities() -> Capabilities:
    """The installed torch, and the devices it sees."""
    devices = {"cpu": processor()}
    for device in accelerators():
        found = torch.get_device_module(device).get_device_properties(device)
        devices[str(device)] = f"{found.name}, {gibibytes(found.total_memory)}"
    framework = f"torch {torch.__version__}"
    return Capabilities(framework, devices, tuple(DTYPES), MODES, ("output", "input"))


def accelerators() -> list[torch.device]:
    """The accelerators that have float64, in which claims are checked."""
    kind = torch.accelerator.current_accelerator()
    count = torch.accelerator.device_count()  # 0 without a kind
    every = [torch.device(kind.type, i) for i in range(count)] if kind is not None else []
    return [device for device in every if _has_float64(device)]


def _has_float64(device: torch.device) -> bool:
    """Whether a tensor in float64 can be made: not on Apple's GPUs."""
    try:
        torch.empty(1, dtype=torch.float64, device=device)
    except (RuntimeError, TypeError):
        return False
    return True


def tensor(a: Any, dtype: str, device: str) -> Tensor:
    """A copy on the device; of that dtype where it is floating."""
    t = torch.from_numpy(np.array(a)).to(device)
    return t.to(DTYPES[dtype]) if t.is_floating_point() else t


def to_numpy(t: Tensor) -> Array:
    """A float64 copy on the host."""
    return t.detach().cpu().double().numpy()


def gradient_of(value: Tensor, module: nn.Module, only: int | None = None) -> Array:
    """∇_θ of the sum of a value, flat, 0 where frozen; or in one array of the parameters."""
    parameters = list(module.parameters())
    wanted = parameters if only is None else [parameters[only]]
    trained = [p for p in wanted if p.requires_grad]
    found = torch.autograd.grad(value.sum(), trained, allow_unused=True, materialize_grads=True)
    of = dict(zip(map(id, trained), found, strict=True))
    return np.concatenate([to_numpy(of.get(id(p), torch.zeros_like(p))).ravel() for p in wanted])
