"""A trial of a user's loss for DoubleBack, once: of each example alone, and rightly ∂L/∂z twice."""

from collections import deque
from collections.abc import Callable
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gradreg_torch import _arguments
from gradreg_torch._engine import checks, graph
from gradreg_torch._engine.holding import content
from gradreg_torch._engine.random import random_state, replayed
from gradreg_torch._engine.sums import flat
from gradreg_torch._engine.trial import can_be_read, separating

LossFunction = Callable[[Tensor, Tensor], Tensor]
# By code or class, the last losses that were tried: what each holds, and whether the trial had
# several examples.
_FIT: WeakKeyDictionary[Any, deque[tuple[int | bool, ...]]] = WeakKeyDictionary()
_TRIED = 8


def require_fit(output: Tensor, y: Any, loss: LossFunction) -> None:
    """Raise ValueError unless a loss is twice differentiable, and of each example alone.

    A loss is tried once, at the outputs of its first step.
    """
    several = len(output) > 1  # a single example shows nothing of others
    known = _FIT.setdefault(getattr(loss, "__code__", type(loss)), deque(maxlen=_TRIED))
    held = _held(loss)
    if (*held, True) in known or (*held, several) in known or not can_be_read(output):
        return
    with replayed(random_state(output), output):
        _require_own(output, y, loss)
        _require_twice(output, y, loss)
    known.append((*held, several))


def _held(loss: LossFunction) -> list[int]:
    """Return the ids by which losses of one code differ: of their cells, or of a callable object.

    A training loop that writes its lambda anew in each step mostly closes over the same objects.
    """
    if not hasattr(loss, "__code__"):
        return [id(loss)]
    cells = [content(cell) for cell in getattr(loss, "__closure__", None) or ()]
    return [*map(id, cells), id(getattr(loss, "__self__", None))]


def _require_own(output: Tensor, y: Any, loss: LossFunction) -> None:
    """Raise ValueError where an example's loss depends on another's outputs."""
    z = output.detach().requires_grad_()
    values = _arguments.per_example_loss(loss(z, y), z)
    for some in separating(len(z)).to(z.device):
        (found,) = torch.autograd.grad(values[some].sum(), z, retain_graph=True)
        if found[~some].any():
            raise ValueError(
                "expected a loss of each example alone, got a loss in which an example depends on "
                "the outputs of other examples (a contrast with the batch, or a mean over it); "
                "use a loss of single examples, or contract(model, x, R) with an R of your own"
            )


def _require_twice(output: Tensor, y: Any, loss: LossFunction) -> None:
    """Raise ValueError where ∂L/∂z depends on z, and its own derivative is missing or wrong."""
    random = random_state(output)

    def derivative(z: Tensor) -> Tensor:
        with replayed(random, output):
            return torch.autograd.grad(total(z, y, loss), z, create_graph=True)[0]

    z = output.detach().requires_grad_()
    steps, R = _steps(total(z, y, loss)), derivative(z)
    why = "a function whose backward pass records no graph"
    try:
        if not torch.equal(derivative(z), R):  # a loss with a state of its own
            return
        aside = torch.cos(torch.arange(z.numel(), device=z.device)).reshape(z.shape).to(z.dtype)
        aside = aside * (1 + z.detach().abs())
        along = _derivative_along(R, z, aside)
        if R.requires_grad and len(steps) > 1:  # in bfloat16 differences are too coarse to say
            return
        for h in steps:
            above, below = (derivative((z + s * aside).detach().requires_grad_()) for s in (h, -h))
            if not R.requires_grad:  # at a kink of a piecewise linear loss, one of the two is R
                moved = bool(((above != R) & (below != R)).any())
            else:
                moved = _off(R, above, below, along, h)
                why = "the derivative of its derivative lacks a part, behind detach() say"
            if moved:
                break
        else:
            return
    except (RuntimeError, NotImplementedError) as error:
        why = str(error).splitlines()[0]
    raise ValueError(
        f"expected a loss that can be differentiated twice, got one that cannot: {why}; "
        "write it with elementary operations, which autograd records"
    )


def _weights(R: Tensor) -> Tensor:
    """Numbers to add up the entries of an example by."""
    return torch.sin(1 + torch.arange(R.numel(), device=R.device)).reshape(R.shape).to(R.dtype)


def _derivative_along(R: Tensor, z: Tensor, aside: Tensor) -> Tensor:
    """⟨c, (∂R/∂z) a⟩ of every example, (n,), by autograd; 0 where R has no graph."""
    if not R.requires_grad:
        return R.new_zeros(len(R))
    along = (R * _weights(R)).sum()
    (found,) = torch.autograd.grad(along, z, allow_unused=True, materialize_grads=True)
    return flat(found * aside).sum(dim=1)


def _off(R: Tensor, above: Tensor, below: Tensor, along: Tensor, h: float) -> bool:
    """Whether differences of ∂L/∂z, to both sides and to each, are not its derivative."""
    c = _weights(R)
    noise = 32 * h * flat((R * c).abs()).sum(dim=1)  # h is √ε, and rounding ε / h
    wrong = torch.ones_like(along, dtype=torch.bool)
    for a, b, length in ((above, below, 2 * h), (above, R, h), (R, below, h)):
        differences = flat((a - b).detach() * c).sum(dim=1) / length
        limit = 0.02 * torch.maximum(differences.abs(), along.abs()) + noise
        wrong &= (differences - along).abs() > limit
    return bool(wrong.any())


def _steps(value: Tensor) -> list[float]:
    """√ε of the precisions that a loss may compute in: its own, at most float32, and the lowest.

    A `torch.autograd.Function` may hide bfloat16.
    """
    found = graph.nodes(value)
    hidden = {torch.bfloat16} if graph.custom_functions(found) else set()
    own = checks.single_eps(value.dtype)
    lowest = graph.largest_eps(graph.dtypes(found) | hidden)
    return [eps**0.5 for eps in sorted({own, max(own, lowest)})]


def total(output: Tensor, y: Any, loss: LossFunction) -> Tensor:
    """Σ L over the batch: one example's loss depends on its outputs alone."""
    return _arguments.per_example_loss(loss(output, y), output).sum()
