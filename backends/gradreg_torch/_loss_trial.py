"""A trial of a user's loss for DoubleBack: is it of each example alone, is ∂²L/∂z² right?"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from gradreg_torch import _arguments
from gradreg_torch._engine import checks, graph
from gradreg_torch._engine.as_run import is_lost, nudged, second
from gradreg_torch._engine.columns import repeats, separating
from gradreg_torch._engine.float64 import in_float64, with_float64
from gradreg_torch._engine.one_sided import one_sided, steps
from gradreg_torch._engine.random import random_state, replayed
from gradreg_torch._engine.sums import flat
from gradreg_torch._engine.trial import can_be_read
from gradreg_torch._seen import Seen

LossFunction = Callable[[Tensor, Tensor], Tensor]
_Beside = Callable[[float], Tensor]  # from a step h to ∂L/∂z at z + h a, (n, entries)
_ENTRIES = 8  # of ∂L/∂z of an example, whose derivative is compared
# With whether there were several examples (one shows nothing of others), and how the loss ran.
_FIT = Seen()


def require_fit(output: Tensor, y: Any, loss: LossFunction) -> None:
    """Raise ValueError unless a loss is twice differentiable, and of each example alone.

    A loss is tried once for each dtype, and under autocast, at the outputs of the first step.
    """
    several = len(output) > 1
    run = str(output.dtype), torch.is_autocast_enabled(output.device.type)
    known = _FIT.has(loss, (True, *run)) or _FIT.has(loss, (several, *run))
    if known or not can_be_read(output):
        return
    with replayed(random_state(output), output):
        _require_own(output, y, loss)
        _require_twice(output, y, loss)
    _FIT.add(loss, (several, *run))


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
    random, own, own_y = random_state(output), output.detach().requires_grad_(), y
    z, y = _in_float64(output.detach(), y, loss)
    z.requires_grad_()

    def derivative(z: Tensor, y: Any = y) -> Tensor:
        with replayed(random, output):
            return torch.autograd.grad(total(z, y, loss), z, create_graph=True)[0]

    R = derivative(z)
    aside = torch.cos(torch.arange(z.numel(), device=z.device)).reshape(z.shape).to(z.dtype)
    aside = aside * (1 + z.detach().abs())

    def beside(h: float) -> Tensor:
        return flat(derivative((z + h * aside).detach().requires_grad_()).detach())

    why = "a function whose backward pass records no graph"
    try:
        if not repeats([derivative(z)], [R]):  # a loss with a state of its own
            return
        if R.requires_grad:
            narrow, near = derivative(own, own_y), nudged(z)
            missing = _lacks_a_part(R, z, aside, beside) or is_lost(
                ([R], [narrow]),
                (
                    second([R], [aside], [z]),
                    second([derivative(near)], [aside], [near]),
                    second([narrow], [aside.to(narrow)], [own]),
                ),
            )
            why = "the derivative of its derivative lacks a part, behind detach() say"
        else:
            missing = any(_moves(beside, h) for h in _steps(total(z, y, loss)))
    except (RuntimeError, NotImplementedError) as error:
        missing, why = True, str(error).splitlines()[0]
    if missing:
        raise ValueError(
            f"expected a loss that can be differentiated twice, got one that cannot: {why}; "
            "write it with elementary operations, which autograd records"
        )


def _in_float64(z: Tensor, y: Any, loss: LossFunction) -> tuple[Tensor, Any]:
    """Outputs and targets in float64, if the loss accepts them; in bfloat16 nothing would show."""
    wide_z, wide_y = in_float64(z), with_float64(y) if isinstance(y, Tensor) else y
    if isinstance(y, Tensor) and y.is_floating_point():
        wide_y = in_float64(y)
    try:
        total(wide_z.clone().requires_grad_(), wide_y, loss)
    except (RuntimeError, TypeError, NotImplementedError, ValueError):
        return z, y
    return wide_z, wide_y


def _moves(beside: _Beside, h: float) -> bool:
    """Whether an entry of ∂L/∂z moves on both sides at every step.

    A loss that is linear on pieces moves on one side of a kink.
    """
    middle = beside(0)
    moved = [beside(s) != middle for t in steps(h) for s in (t, -t)]
    return bool(torch.stack(moved).all(dim=0).any())


def _lacks_a_part(R: Tensor, z: Tensor, aside: Tensor, beside: _Beside) -> bool:
    """Whether an entry of ∂L/∂z moves otherwise than its derivative ⟨∂R/∂z, a⟩ says.

    Of each example the `_ENTRIES` that move most are asked, if their differences agree. An entry
    that moves a thousandth of the largest, or less, may be rounding, and changes the gradient of
    the penalty as little.
    """
    moved, apart = one_sided(beside, checks.single_eps(z.dtype) ** 0.5)
    size = moved.abs()
    agreed = torch.where((apart < 0.05 * size) & (size > 1e-3 * size.max()), size, 0)
    _, entries = agreed.topk(min(_ENTRIES, agreed.shape[1]), dim=1)
    for k in range(entries.shape[1]):
        entry = entries[:, k : k + 1]
        one = torch.zeros_like(moved).scatter_(1, entry, 1).reshape(R.shape)
        (found,) = torch.autograd.grad(
            R, z, one, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        along = flat(found * aside).sum(dim=1, keepdim=True)
        found, spread = moved.gather(1, entry), apart.gather(1, entry)
        limit = 0.02 * torch.maximum(found.abs(), along.abs()) + 2 * spread
        if (((found - along).abs() > limit) & (agreed.gather(1, entry) > 0)).any():
            return True
    return False


def _steps(value: Tensor) -> list[float]:
    """√ε of the precision that a loss computes in, at most float32, and of a lower one inside.

    A lower one may hide in a `torch.autograd.Function`, which does not show it.
    """
    found = graph.nodes(value)
    hidden = {torch.bfloat16} if graph.custom_functions(found) else set()
    own = checks.single_eps(value.dtype)
    lowest = max(own, graph.largest_eps(graph.dtypes(found) | hidden))
    return [step**0.5 for step in sorted({own, lowest})]


def total(output: Tensor, y: Any, loss: LossFunction) -> Tensor:
    """Σ L over the batch: one example's loss depends on its outputs alone."""
    return _arguments.per_example_loss(loss(output, y), output).sum()
