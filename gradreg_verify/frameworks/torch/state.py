"""What a call may not change: model, input, modes, global random state."""

import random
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class State:
    """A snapshot, part by part."""

    parts: dict[str, Any]

    @classmethod
    def of(cls, module: nn.Module, x: Tensor) -> "State":
        """The state of a model, its input and the process."""
        parameters = list(module.parameters())
        return cls(
            {
                "the parameters": [p.detach().clone() for p in parameters],
                "the buffers": [b.detach().clone() for b in module.buffers()],
                "the .grad of parameters": [copy(p.grad) for p in parameters],
                "requires_grad of parameters": [p.requires_grad for p in parameters],
                "training mode of the model": [m.training for m in module.modules()],
                "hooks of the model": [
                    len(m._forward_hooks) + len(m._backward_hooks) for m in module.modules()
                ],
                "x": x.detach().clone(),
                "the .grad of x": copy(x.grad),
                "grad mode": torch.is_grad_enabled(),
                "the default dtype": torch.get_default_dtype(),
                RNG: torch.get_rng_state(),
                "NumPy's global random state": repr(np.random.get_state()),
                "Python's global random state": random.getstate(),
            }
        )

    def differences(self, after: "State", *, random: bool) -> list[str]:
        """The names of the parts that differ; torch's generator may move where it is drawn from."""
        return [
            name
            for name, part in self.parts.items()
            if not same(part, after.parts[name]) and not (random and "random state" in name)
        ]


RNG = "torch's global random state"


def copy(t: Tensor | None) -> Tensor | None:
    """A copy, or None."""
    return None if t is None else t.detach().clone()


def same(a: Any, b: Any) -> bool:
    """Equal, entry by entry."""
    if isinstance(a, list):
        return len(a) == len(b) and all(map(same, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return torch.equal(a, b)
    return bool(a == b) if not isinstance(b, Tensor) else False
