"""Is a second derivative, which float64 shows to be right, the same in the precision of a pass?

Under autocast a `torch.autograd.Function` with `torch.amp.custom_fwd(cast_inputs=…)` saves copies
of its inputs, which have no graph: what its backward pass computes from them is then a constant. In
float64 nothing is cast, and the function is right.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

_LOST, _SENSITIVE = 1 / 4, 1 / 20
_SMALL = 1e-3


def rounded(t: Tensor) -> Tensor:
    """t as bfloat16 has it, in float64."""
    return t.detach().bfloat16().double().requires_grad_(t.requires_grad)


def second(g: list[Tensor], w: list[Tensor], at: list[Tensor]) -> tuple[Tensor, ...]:
    """∂⟨g, w⟩/∂t of a gradient g at t; zero where g has no graph."""
    along = torch.stack([(t * a).sum() for t, a in zip(g, w, strict=True)]).sum()
    if not along.requires_grad:
        return tuple(map(torch.zeros_like, at))
    return torch.autograd.grad(along, at, materialize_grads=True, allow_unused=True)


def is_lost(wide: Iterable[Tensor], beside: Iterable[Tensor], as_run: Iterable[Tensor]) -> bool:
    """Whether one of several derivatives is off by a quarter as it is run.

    Parameters
    ----------
    wide, beside : iterable of Tensor
        In float64; and at `rounded` arguments: a derivative that these move says nothing.
    as_run : iterable of Tensor
        In the precision of the pass.
    """
    wide = [*wide]
    largest = max(float(t.norm()) for t in wide)
    return any(
        float((b - a).norm()) < _SENSITIVE * (size := float(a.norm()))
        and float((c.double() - a).norm()) > _LOST * size
        and size > _SMALL * largest
        for a, b, c in zip(wide, beside, as_run, strict=True)
    )
