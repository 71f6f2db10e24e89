"""A trial of finite differences: is the gradient the same for a step of twice the length?

Where a derivative jumps between x − hu and x + hu, or the model bends within the step, the value
may be right, and the gradient of the difference another one. It then changes with h.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gradreg_torch._engine import graph
from gradreg_torch._engine.float64 import joined
from gradreg_torch._engine.inputs import Named

_LIMIT = 0.1  # on 175 networks in float32 the gradient was off by 4 to 64 % beyond it
_HALVINGS = 5
_ALIGNED = 0.9
_TINY = 1e-300
_Gradient = Callable[[float], Tensor]  # of a step of so many times the usual one
# By a parameter, then by mode and ε: the part that was taken when the model was last tried.
_TAKEN: Any = WeakTensorKeyDictionary()


def taken(parameter: Tensor | None) -> dict[Any, float]:
    """What was taken for a model with this parameter, to be read and written."""
    found: dict[Any, float] = {} if parameter is None else _TAKEN.setdefault(parameter, {})
    return found


def trained(t: Tensor, inputs: Named) -> list[Tensor]:
    """The parameters in the graph of t."""
    own = set(map(id, inputs.values()))
    leaves = [n.variable for n in graph.nodes(t) if type(n).__name__ == graph.LEAF]
    return [leaf for leaf in leaves if id(leaf) not in own and not leaf._backward_hooks]


def part(gradient: _Gradient, rounding: Tensor, order: int) -> tuple[float, float]:
    """The part of the usual step to take, 0 where none is right, and how far gradients are apart.

    `gradient` returns NaN for a step at which the value is off. `rounding` is the gradient of ε
    times a term of the difference: a gradient that is 0 consists of rounding alone. A shorter step
    is taken where three differences of gradients in a row shrink like h^`order`, in one direction,
    which those of jumps do not.
    """
    longer, here = gradient(2.0), gradient(1.0)
    differences, size = [longer - here], float(here.norm())
    if float(differences[0].norm()) <= _LIMIT * size + float(rounding.norm()):
        return 1.0, 0.0
    off = [float(differences[0].norm()) / max(size, _TINY)]
    for k in range(1, _HALVINGS + 1):
        longer, here = here, gradient(0.5**k)
        differences.append(longer - here)
        off.append(float(differences[k].norm()) / max(float(here.norm()), _TINY))
        shrinking = k > 1 and _shrink(differences[-3:], 2.0**order)
        if shrinking and off[-2] <= _LIMIT:
            return 0.5**k, off[-1]
    return 0.0, next((o for o in off if isfinite(o)), 1.0)


def _shrink(three: list[Tensor], by: float) -> bool:
    """Whether differences shrink by that number, and the first two have one direction."""
    a, b, c = (float(difference.norm()) for difference in three)
    cosine = float(torch.dot(three[0], three[1])) / max(a * b, _TINY)
    return cosine >= _ALIGNED and b * by / 2 <= a <= 2 * by * b and c <= 2 / by * b


def refusal(off: float, instead: str) -> str:
    """Say that no step has the gradient of a longer one, and what to do."""
    return (
        "expected the same gradient for a step of twice the length, got one that is off by "
        f"{off:.0%}: a derivative jumps near x, as at the largest of several numbers, or the model "
        f"bends too much for the step (steep layers; inputs far from zero); {instead}, or pass "
        "inputs of mean 0 and variance 1"
    )


def gradient(t: Tensor, leaves: list[Tensor]) -> Tensor:
    """The gradient of the sum, in float64; in 16 bits, as under autocast, a difference drowns."""
    with torch.autocast(t.device.type, enabled=False):
        found = torch.autograd.grad(
            t.sum(), leaves, retain_graph=True, allow_unused=True, materialize_grads=True
        )
    return joined(found)
