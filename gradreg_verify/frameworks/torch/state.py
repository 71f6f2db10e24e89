"""The state that a call must not change: model, inputs, modes and random states."""

from typing import Any

import torch
from torch import Tensor, nn

from gradreg_verify.frameworks.torch.randomness import global_states


def of_call(module: nn.Module, x: Tensor, y: Tensor) -> dict[str, Any]:
    """The state of a model, its input, its labels and the process, part by part."""
    parameters = list(module.parameters())
    return {
        "the parameters": [p.detach().clone() for p in parameters],
        "the buffers": [b.detach().clone() for b in module.buffers()],
        "the .grad of parameters": [_copy(p.grad) for p in parameters],
        "requires_grad of parameters": [p.requires_grad for p in parameters],
        "training mode of the model": [m.training for m in module.modules()],
        "attributes of the model": [_attributes_of(m) for m in module.modules()],
        "hooks of the model": [_hooks_of(m) for m in module.modules()],
        "hooks of all models": _hooks_of(nn.modules.module),
        "hooks of parameters": [_hooks_of_tensor(p) for p in parameters],
        "hooks of x": _hooks_of_tensor(x),
        "requires_grad of x": x.requires_grad,
        "the labels": y.clone(),
        "x": x.detach().clone(),
        "the .grad of x": _copy(x.grad),
        **global_states(),
    }


def changed(before: dict[str, Any], after: dict[str, Any], *, random: bool) -> list[str]:
    """The parts of the state that differ; `random`: random states may."""
    return [
        name
        for name, part in before.items()
        if not _same(part, after[name]) and not (random and "random state" in name)
    ]


def seeds_set(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """The random states that two calls, which began with others, left the same."""
    names = (n for n, part in first.items() if "random state" in n and _same(part, second[n]))
    return [f"{name}, to the same whatever it was (a seed is set)" for name in names]


def _attributes_of(module: nn.Module) -> list[Any]:
    """The names of a module's attributes, with the values that are plain: rates, switches, sizes.

    `training` is compared by itself, and names with an underscore are torch's.
    """
    held = {name: value for name, value in vars(module).items() if name != "training"}
    plain = (bool, int, float, str, type(None))
    return [
        (name, value if isinstance(value, plain) and not name.startswith("_") else None)
        for name, value in sorted(held.items())
    ]


def _hooks_of(holder: Any) -> list[int]:
    """Return how many hooks each dictionary of hooks of a module has."""
    return [len(held) for name, held in vars(holder).items() if name.endswith("_hooks")]


def _hooks_of_tensor(t: Tensor) -> int:
    """Return how many hooks run when a tensor's gradient comes, or when it is in .grad."""
    return len(t._backward_hooks or ()) + len(t._post_accumulate_grad_hooks or ())


def _copy(t: Tensor | None) -> Tensor | None:
    """A copy, or None."""
    return None if t is None else t.detach().clone()


def _same(a: Any, b: Any) -> bool:
    """Equal, entry by entry."""
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return bool(a == b) if not isinstance(b, Tensor) else False
