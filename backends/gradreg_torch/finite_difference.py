"""Finite differences: value exact, gradient a difference of ordinary gradients; no double backward.

With v = Jᵀr, u = v/‖v‖ and h along it,

    ∇_θ ‖Jᵀr‖² = 2‖v‖ ∇_θ ⟨r, J u⟩,    J u ≈ (z(x + hu) − z(x − hu)) / 2h + O(h²),

(one-sided: (z(x + hu) − z(x)) / h + O(h), a pass less), so ‖v‖² comes from one vector-Jacobian
product without a graph, and its gradient from a surrogate that autograd differentiates once,
2‖v‖ ⟨r(θ), z(x + hu; θ) − z(x − hu; θ)⟩ / 2h. It runs wherever a forward and a backward pass do.
"""

from contextlib import nullcontext

import torch
from torch import Tensor

from gradreg_torch import checks, graph
from gradreg_torch.forward_pass import ForwardPass
from gradreg_torch.inputs import Named
from gradreg_torch.kinks import NOT_THE_SAME, Pieces, kinks
from gradreg_torch.running import copied, replayed, visible
from gradreg_torch.sums import HALF, at_least_single, sum_of_squares


def contract(f: ForwardPass, R: Tensor) -> Tensor:
    """‖JᵀR‖²_F of every example, (n,); R[n, k, q], one column at a time."""
    if f.example.dtype in HALF:
        raise TypeError(checks.half(f.example.dtype))
    pieces = Pieces() if f.kinked and f.create_graph else None
    if pieces is not None:
        with torch.no_grad():
            again(f, f.inputs, pieces)
    values = [column(f, r, pieces) for r in R.to(f.logits.dtype).unbind(dim=2)]
    return torch.stack(values).sum(dim=0)


def column(f: ForwardPass, r: Tensor, pieces: Pieces | None) -> Tensor:
    """‖Jᵀr‖², (n,), for one probe r(θ)[n, k]."""
    v = torch.autograd.grad(
        f.logits, list(f.inputs.values()), r.detach(), retain_graph=True, allow_unused=True
    )
    checks.reached(f.inputs, v)
    square = torch.stack([sum_of_squares(t[None]) for t in v]).sum(dim=0)
    if not f.create_graph:
        return square
    surrogate = 2 * r_J_v(f, r, v, square.sqrt(), pieces)
    return square + (surrogate - surrogate.detach())


def r_J_v(
    f: ForwardPass, r: Tensor, v: tuple[Tensor, ...], length: Tensor, pieces: Pieces | None
) -> Tensor:
    """⟨r, J v⟩ (n,), v constant and of these lengths, by a difference of logits with its graph."""
    h = step(f)
    if f.coupled:  # one step for the batch, as J v is then a product with all of v
        length, h = length.max().expand_as(length), h.mean().expand_as(h)
    scale = torch.where(length > 0, h / length.clamp_min(torch.finfo(length.dtype).tiny), 0)
    if f.mode == "one_sided_difference":
        difference = beside(f, v, scale, pieces) - at_least_single(f.logits)
    else:
        difference = (beside(f, v, scale, pieces) - beside(f, v, -scale, pieces)) / 2
    return length * (at_least_single(r) * difference).sum(dim=1) / h


def step(f: ForwardPass) -> Tensor:
    """h (n,): ∛ε, or √ε one-sided, of √(‖x‖ · rms x), between one coordinate's size and all's."""
    inputs = [at_least_single(t.detach()) for t in f.inputs.values()]
    size = sum(t[0].numel() for t in inputs)
    norm = torch.stack([sum_of_squares(t[None]) for t in inputs]).sum(dim=0).sqrt()
    scale = torch.where(norm > 0, norm / size**0.25, 1)
    return torch.finfo(inputs[0].dtype).eps ** POWER[f.mode] * scale


POWER = {"finite_difference": 1 / 3, "one_sided_difference": 1 / 2}


def beside(f: ForwardPass, v: tuple[Tensor, ...], scale: Tensor, pieces: Pieces | None) -> Tensor:
    """z(x + scale · v), on the pieces where x is."""
    moved: Named = {
        name: x + (scale.reshape(-1, *[1] * (x.ndim - 1)) * t.detach()).to(x.dtype)
        for (name, x), t in zip(f.inputs.items(), v, strict=True)
    }
    logits = again(f, moved, pieces and pieces.repeat())
    if pieces is not None and pieces.left:
        raise ValueError(NOT_THE_SAME)
    if pieces is not None and (left := kinks(graph.nodes(logits))):
        raise ValueError(
            f"expected kinks that finite differences can hold open, got {', '.join(sorted(left))}: "
            "a jump of the gradient divided by the step swamps it; pass mode='reverse'"
        )
    return logits


def again(f: ForwardPass, inputs: Named, pieces: Pieces | None) -> Tensor:
    """The logits at other inputs: dropout masks and buffers as in the first pass, nothing moved.

    Without autocast: a difference of float16 or bfloat16 logits drowns in rounding.
    """
    assert f.model is not None
    assert f.random is not None
    with (
        replayed(f.random, f.example),
        torch.autocast(f.example.device.type, enabled=False),
        visible(f.model.function),
        pieces or nullcontext(),
    ):
        output = f.model({name: t.clone() for name, t in inputs.items()}, copied(f.buffers))
    if output.dtype in HALF:
        raise TypeError(checks.half(output.dtype))
    return at_least_single(output.reshape(output.shape[0], -1))
