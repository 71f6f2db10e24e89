"""A trial of a user's loss for DoubleBack: is it of each example alone, is ∂²L/∂z² right?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gradreg_torch import _arguments
from gradreg_torch._engine import checks, graph
from gradreg_torch._engine.random import random_state, replayed
from gradreg_torch._engine.sums import flat
from gradreg_torch._engine.trial import can_be_read, separating
from gradreg_torch._seen import Seen

LossFunction = Callable[[Tensor, Tensor], Tensor]
_FIT = Seen()  # with whether the trial had several examples: a single one shows nothing of others


def require_fit(output: Tensor, y: Any, loss: LossFunction) -> None:
    """Raise ValueError unless a loss is twice differentiable, and of each example alone.

    A loss is tried once, at the outputs of its first step.
    """
    several = len(output) > 1
    if _FIT.has(loss, True) or _FIT.has(loss, several) or not can_be_read(output):
        return
    with replayed(random_state(output), output):
        _require_own(output, y, loss)
        _require_twice(output, y, loss)
    _FIT.add(loss, several)


def _require_own(output: Tensor, y: Any, loss: LossFunction) -> None:
    """Raise ValueError where an example's loss depends on another's outputs."""
    z = output.detach().requires_grad_()
    values = _arguments.per_example_loss(loss(z, y), z)
    for some in separating(len(z), z.device):
        (found,) = torch.autograd.grad(values[some].sum(), z, retain_graph=True)
        if found[~some].any():
            raise ValueError(
                "expected a loss of each example alone, got a loss in which an example depends on "
                "the outputs of other examples (a contrastive loss, or a mean over the batch); "
                "use a loss of single examples, or contract(model, x, R) with an R of your own"
            )


def _require_twice(output: Tensor, y: Any, loss: LossFunction) -> None:
    """Raise ValueError where ∂L/∂z depends on z, and its own derivative is missing or wrong."""
    random = random_state(output)
    z, y = _in_float64(output.detach(), y, loss)
    z.requires_grad_()

    def derivative(z: Tensor) -> Tensor:
        with replayed(random, output):
            return torch.autograd.grad(total(z, y, loss), z, create_graph=True)[0]

    steps, R = _steps(total(z, y, loss)), derivative(z)
    why = "a function whose backward pass records no graph"
    try:
        if not torch.equal(derivative(z), R):  # a loss with a state of its own
            return
        aside = torch.cos(torch.arange(z.numel(), device=z.device)).reshape(z.shape).to(z.dtype)
        aside = aside * (1 + z.detach().abs())
        along = _derivative_along(R, z, aside)
        beside = {
            h: [derivative((z + s * aside).detach().requires_grad_()) for s in (h, -h)]
            for h in steps
        }
        if R.requires_grad:
            missing = _lacks_a_part(R, beside, along)
            why = "the derivative of its derivative lacks a part, behind detach() say"
        else:  # at a kink of a piecewise linear loss, one of the two is R
            missing = any(bool(((a != R) & (b != R)).any()) for a, b in beside.values())
    except (RuntimeError, NotImplementedError) as error:
        missing, why = True, str(error).splitlines()[0]
    if missing:
        raise ValueError(
            f"expected a loss that can be differentiated twice, got one that cannot: {why}; "
            "write it with elementary operations, which autograd records"
        )


def _in_float64(z: Tensor, y: Any, loss: LossFunction) -> tuple[Tensor, Any]:
    """Outputs and targets in float64, if the loss accepts them; in bfloat16 nothing would show."""
    wide = y.double() if isinstance(y, Tensor) and y.is_floating_point() else y
    try:
        total(z.double().requires_grad_(), wide, loss)
    except (RuntimeError, TypeError, NotImplementedError, ValueError):
        return z, y
    return z.double(), wide


def _weights(R: Tensor) -> Tensor:
    """Weights by which the entries of an example are added up."""
    return torch.sin(1 + torch.arange(R.numel(), device=R.device)).reshape(R.shape).to(R.dtype)


def _derivative_along(R: Tensor, z: Tensor, aside: Tensor) -> Tensor:
    """⟨c, (∂R/∂z) a⟩ of every example, (n,), by autograd; 0 where R has no graph."""
    if not R.requires_grad:
        return R.new_zeros(len(R))
    along = (R * _weights(R)).sum()
    (found,) = torch.autograd.grad(along, z, allow_unused=True, materialize_grads=True)
    return flat(found * aside).sum(dim=1)


def _lacks_a_part(R: Tensor, beside: dict[float, list[Tensor]], along: Tensor) -> bool:
    """Whether two-sided and one-sided differences of ∂L/∂z disagree with its derivative.

    Where a lower precision may hide, the differences must also agree with each other, because
    differences of rounded numbers jump.
    """
    c = _weights(R)
    noise = flat((R * c).abs()).sum(dim=1)
    right, found = torch.zeros_like(along, dtype=torch.bool), list[Tensor]()
    for h, (above, below) in list(beside.items())[:2]:
        up, down = (flat(t.detach() * c).sum(dim=1) / h for t in (above - R, R - below))
        found += [up, down]
        for one in (up, down, (up + down) / 2):
            limit = 0.02 * torch.maximum(one.abs(), along.abs()) + 32 * h * noise  # h is √ε
            right |= (one - along).abs() <= limit
    if len(beside) == 1:
        return not bool(right.all())
    sides = torch.stack(found)
    apart = sides.amax(dim=0) - sides.amin(dim=0)
    return bool((~right & (apart < 0.05 * sides.mean(dim=0).abs())).any())


def _steps(value: Tensor) -> list[float]:
    """√ε of the precision that a loss computes in, at most float32.

    Also half of that, and √ε of the lowest precision, if a lower one may hide in the loss: a
    `torch.autograd.Function` does not show it.
    """
    found = graph.nodes(value)
    hidden = {torch.bfloat16} if graph.custom_functions(found) else set()
    own = checks.single_eps(value.dtype)
    lowest = max(own, graph.largest_eps(graph.dtypes(found) | hidden))
    h = own**0.5
    return [h] if lowest == own else [h, h / 2, lowest**0.5]


def total(output: Tensor, y: Any, loss: LossFunction) -> Tensor:
    """Σ L over the batch: one example's loss depends on its outputs alone."""
    return _arguments.per_example_loss(loss(output, y), output).sum()
