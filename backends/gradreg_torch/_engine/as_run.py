"""Is a second derivative, which float64 shows to be right, the same in the precision of a pass?

Under autocast a `torch.autograd.Function` with `torch.amp.custom_fwd(cast_inputs=…)` saves copies
of its inputs, which have no graph: what its backward pass computes from them is then a constant. In
float64 nothing is cast, and the function is right.
"""

from collections.abc import Iterable

import torch
from torch import Tensor

from gradreg_torch._engine.float64 import in_float64

_LOST = 1 / 4  # a second derivative that is off by more lacks a part; in bfloat16 1/100 is rounding
_ROUNDED = 1 / 10  # a gradient that is off by more is itself rounding
_SENSITIVE = 1 / 20  # a second derivative that one rounding changes by more is rounding
_SMALL = 1e-3  # as a part of the gradient: a smaller second derivative may be rounding


def nudged(t: Tensor) -> Tensor:
    """The tensor t, every entry moved by a rounding of bfloat16 or less."""
    k = torch.arange(t.numel(), device=t.device, dtype=t.dtype).reshape(t.shape)
    near = t.detach() * (1 + torch.finfo(torch.bfloat16).eps * torch.cos(k * k))
    return near.requires_grad_(t.requires_grad)


def second(g: list[Tensor], w: list[Tensor], at: list[Tensor]) -> tuple[Tensor, ...]:
    """∂⟨g, w⟩/∂t of a gradient g at t; zero where g has no graph."""
    along = torch.stack([(t * a).sum() for t, a in zip(g, w, strict=True)]).sum()
    if not along.requires_grad:
        return tuple(map(torch.zeros_like, at))
    return torch.autograd.grad(along, at, materialize_grads=True, allow_unused=True)


def is_lost(
    gradients: tuple[Iterable[Tensor], Iterable[Tensor]],
    seconds: tuple[Iterable[Tensor], Iterable[Tensor], Iterable[Tensor]],
) -> bool:
    """Whether, in the precision of the pass, a second derivative is off by more than a quarter.

    A tensor whose second derivative may be rounding is left out: see the limits above.

    Parameters
    ----------
    gradients : pair of iterables of Tensors
        In float64, and in the precision of the pass.
    seconds : triple of iterables of Tensors
        Of each gradient: in float64; in float64 at `nudged` arguments; and in the precision of the
        pass.
    """
    every = [
        [in_float64(t.detach()) for t in one] for one in zip(*gradients, *seconds, strict=True)
    ]
    largest = max(float(a.norm()) for _, _, a, _, _ in every)
    return any(
        float((own - g).norm()) < _ROUNDED * float(g.norm())
        and float((b - a).norm()) < _SENSITIVE * (size := float(a.norm()))
        and float((c - a).norm()) > _LOST * size
        and size > _SMALL * max(largest, float(g.norm()))
        for g, own, a, b, c in every
    )
