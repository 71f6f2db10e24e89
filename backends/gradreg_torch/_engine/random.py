"""The state of the global generators: a pass is repeated with the same dropout masks."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

_DROPOUTS = {
    getattr(where, name)
    for where in (torch, F)
    for name in dir(where)
    if name.rstrip("_123d").endswith("dropout") and not name.startswith(("_", "native"))
}
Random = tuple[Tensor, Tensor | None]  # of the CPU, and of the device of x


def random_state(x: Tensor) -> Random:
    """The state of the global generators that dropout draws from."""
    module = device_module(x)
    of_device = None if module is None else module.get_rng_state(*_which(module, x))
    return torch.get_rng_state(), of_device


@contextmanager
def replayed(state: Random, x: Tensor) -> Iterator[None]:
    """A context that draws the same dropout masks again and then restores the generators."""
    before = random_state(x)
    try:
        set_random_state(state, x)
        yield
    finally:
        set_random_state(before, x)


def set_random_state(state: Random, x: Tensor) -> None:
    """Restore what `random_state` returned."""
    cpu, of_device = state
    torch.set_rng_state(cpu)
    if of_device is not None:
        module = device_module(x)
        module.set_rng_state(of_device, *_which(module, x))


def same_state(a: Random, b: Random) -> bool:
    """Whether two states are equal."""
    return all(
        s is t or (s is not None and t is not None and torch.equal(s, t))
        for s, t in zip(a, b, strict=True)
    )


def device_module(x: Tensor) -> Any:
    """`torch.cuda`, `torch.mps`, …; None if the device of x has no generator of its own."""
    module = None if x.is_cpu else getattr(torch, x.device.type, None)
    return module if hasattr(module, "get_rng_state") else None


def _which(module: Any, x: Tensor) -> tuple[torch.device, ...]:
    """What says which of several devices is meant; `torch.mps` has one, and takes no argument."""
    return (x.device,) if module.device_count() > 1 else ()


class Undropped(TorchFunctionMode):
    """A context in which dropout drops nothing."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The function, without its dropout."""
        kwargs = dict(kwargs or {})
        if func in _DROPOUTS:
            return args[0] if args else kwargs["input"]
        if func is F.multi_head_attention_forward:
            kwargs["training"] = False
        if func is F.scaled_dot_product_attention:
            args, rest = args[:4], args[5:]
            kwargs |= {"dropout_p": 0.0, **dict(zip(("is_causal",), rest, strict=False))}
        return func(*args, **kwargs)
