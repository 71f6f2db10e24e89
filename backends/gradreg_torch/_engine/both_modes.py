"""⟨u, J v⟩ and its parameter gradient by forward mode and by reverse mode, and whether they agree.

The difference of the modes is compared with their rounding. The rounding is how far J (c v) / c, at
inputs moved by one rounding, lies from J v.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from gradreg_torch._engine import checks, euler
from gradreg_torch._engine.call import Call
from gradreg_torch._engine.float64 import in_float64, joined
from gradreg_torch._engine.inputs import Named, first_of, unflat
from gradreg_torch._engine.model import Model, copied, visible
from gradreg_torch._engine.process import attention_by_formula
from gradreg_torch._engine.random import Random, random_state, replayed, same_state
from gradreg_torch._engine.sums import real

_WRONG = (
    "expected operations whose forward mode is right, got a J v, or a gradient of J v, that is not "
    "the one of reverse mode (torch 2.13 is wrong for linear solvers and determinants); "
    "pass mode='auto'"
)


class Both(NamedTuple):
    """⟨u, J v⟩ and its parameter gradient by forward mode, and by reverse mode.

    Parameters
    ----------
    value, other : Tensor ()
        ⟨u, J v⟩ by forward mode, and by reverse mode.
    gradient, expected : Tensor
        Their gradients.
    size : Tensor ()
        The norm of the terms of ⟨u, J v⟩, which may cancel.
    decided : bool
        Whether J v is another number than 0.
    """

    value: Tensor
    other: Tensor
    gradient: Tensor
    expected: Tensor
    size: Tensor
    decided: bool

    def apart(self, beside: "Both", c: float) -> tuple[Tensor, Tensor]:
        """Rounding of ⟨u, J v⟩ and of its gradient: these numbers less `beside`, of c v, over c."""
        pairs = zip(self[:4], beside[:4], strict=True)
        value, other, gradient, expected = ((b / c - a).norm() for a, b in pairs)
        return torch.maximum(value, other), torch.maximum(gradient, expected)


def nudged(inputs: Named, c: float) -> Named:
    """The inputs, every entry moved by c roundings or less; as they are for c = 1."""
    if c == 1:
        return inputs
    return {
        name: (t + (generic(t) * t * (c * torch.finfo(t.dtype).eps))).detach().requires_grad_()
        for name, t in inputs.items()
    }


def require_equal(at_x: Both, products: Callable[[float], Both | None], limit: float) -> None:
    """Raise ValueError where forward mode gives other numbers than reverse mode."""
    if not (bool(torch.isfinite(at_x.other)) and bool(torch.isfinite(at_x.expected).all())):
        return
    size = torch.maximum(at_x.size, at_x.other.abs())
    off = (at_x.value - at_x.other).abs(), (at_x.gradient - at_x.expected).norm()
    most = limit * size, limit * at_x.expected.norm()
    if all(bool(a <= b) for a, b in zip(off, most, strict=True)):
        return
    beside = [(one, c) for c in euler.FACTORS if (one := products(c)) is not None]
    if any(one.gradient.shape != at_x.gradient.shape for one, _ in beside):
        return  # J v is 0 there, or its gradient is no number: rounding alone
    rounding = [at_x.apart(one, c) for one, c in beside]
    for i in range(2):
        largest = max((float(pair[i]) for pair in rounding), default=0.0)
        if not bool(off[i] <= max(float(most[i]), euler.MOST * largest)):
            raise ValueError(_WRONG)


def both(
    model: Model,
    call: Call,
    v: Tensor,
    J_v: Tensor,
    z: Tensor,
    random: Random,
    parameters: list[Tensor],
    limit: float,
) -> Both | None:
    """The numbers of both modes; None where reverse mode has none."""
    u = generic(J_v)
    other = by_reverse_mode(model, call.inputs, v, u, z, random, limit)
    if other is None:
        return None
    terms, decided = u * J_v, bool(J_v.any())
    # Where J v = 0, so is the gradient of ‖J v‖². z may then be a constant, which does not show
    # whether the repeated pass has the dropout masks of the first.
    trained = parameters if call.create_graph and decided else []
    gradients = _gradient(terms.sum(), trained), _gradient(other, trained)
    values = in_float64(terms.sum().detach()), in_float64(other.detach())
    return Both(*values, *gradients, in_float64(terms.detach()).norm(), decided)


def by_reverse_mode(
    model: Model, inputs: Named, v: Tensor, u: Tensor, z: Tensor, random: Random, limit: float
) -> Tensor | None:
    """⟨Jᵀu, v⟩ with its graph, in a pass of its own; None where there is none to compare with."""
    replay = replayed(random, first_of(inputs))
    with attention_by_formula, model.untouched(), replay, visible(model):
        try:
            again = model(copied(inputs), model.buffers())
            # Other masks may change the logits by little: then only 64 ε are rounding.
            drawn = not same_state(random, random_state(first_of(inputs)))
            if not _close(again.detach(), z.detach(), limit**2 / 4 if drawn else limit):
                return None
            columns = u.reshape(again.shape)
            products = torch.autograd.grad(
                again, list(inputs.values()), columns, create_graph=True, allow_unused=True
            )
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError):
            return None
    checks.reached(inputs, products)
    along = unflat(v, inputs)
    return torch.stack([(p * t[0]).sum() for p, t in zip(products, along, strict=True)]).sum()


def _gradient(s: Tensor, parameters: list[Tensor]) -> Tensor:
    """The gradient in all parameters as one vector; NaN where reverse mode has none of its own."""
    if not parameters or not s.requires_grad:
        return in_float64(s.new_zeros(sum(real(p).numel() for p in parameters)))
    try:
        found = torch.autograd.grad(
            s, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
    except (RuntimeError, NotImplementedError):
        return in_float64(s.new_full((1,), torch.nan))
    return joined(found)


def generic(like: Tensor) -> Tensor:
    """Numbers of which no sum is zero by chance."""
    k = torch.arange(like.numel(), device=like.device)
    return torch.cos(k + 1.0).reshape(like.shape).to(like.dtype)


def _close(a: Tensor, b: Tensor, limit: float) -> bool:
    """Equal but for rounding, by their norms."""
    a, b = in_float64(a), in_float64(b)
    return bool((a - b).norm() <= limit * b.norm())
