"""A trial of forward mode: are examples independent, and is J v right?

If v is zero in all but some examples, J v is zero in the other examples, unless examples depend on
each other.

torch differentiates some kernels wrongly in forward mode and gives no error: the value is right and
the parameter gradient wrong (`torch.linalg.solve`, `det` and `slogdet` in torch 2.13), or the value
is missing (`scatter_reduce` of a product; Bessel functions in torch 2.13). The trial compares
⟨u, J v⟩ and its parameter gradient, for one v and one u, between both modes. The trial decides
nothing where reverse mode cannot be differentiated twice, or where a repeated pass gives other
logits. What is off is compared with the rounding that shows in both modes where J (c v) / c, at
inputs that are moved by a rounding, is not J v.
"""

from collections.abc import Callable
from typing import Any, NamedTuple, TypeAlias

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gradreg_torch._engine import batch_norm, checks, euler, graph
from gradreg_torch._engine.call import Call
from gradreg_torch._engine.inputs import Named, first_of, unflat, width
from gradreg_torch._engine.model import AttentionByFormula, Model, copied, visible
from gradreg_torch._engine.random import Random, random_state, replayed
from gradreg_torch._engine.sums import real
from gradreg_torch._engine.trial import due, keep, operations, separating

_OnePass: TypeAlias = Callable[..., tuple[Any, ...]]  # of columns, and of inputs

# By a parameter, the operations of models that were right, and how many passes they had.
_RIGHT: Any = WeakTensorKeyDictionary()
_WRONG = (
    "expected operations whose forward mode is right, got a J v, or a gradient of J v, that is not "
    "the one of reverse mode (torch 2.13 is wrong for linear solvers and determinants); "
    "pass mode='auto'"
)


def require_right(
    one_pass: _OnePass, model: Model, call: Call, found: list[Any], random: Random
) -> None:
    """Raise ValueError where forward mode is wrong; `found` are the nodes of output and products.

    The trial runs when it is `due`, and as long as all products were zero.
    """
    own = set(map(id, call.inputs.values()))
    leaves = [node.variable for node in found if type(node).__name__ == graph.LEAF]
    parameters = [p for p in leaves if id(p) not in own and not p._backward_hooks]
    right = _RIGHT.setdefault(parameters[0], {}) if parameters else {}
    x = first_of(call.inputs)
    alone = call.policy in batch_norm.ALONE and len(x) > 1
    signature = (call.create_graph, alone, *operations(found))
    passes = right.get(signature, 0) + 1
    if passes > 1:
        right[signature] = passes
        if not due(passes):
            return
    untouched = model.untouched()

    def aside(*given: Any) -> tuple[Any, ...]:
        with untouched:
            return one_pass(*given)

    v = _generic(x.new_empty(1, x.shape[0], width(call.inputs)))
    if alone:
        with torch.no_grad():
            _require_alone(aside, v, call.policy, x, random)
    limit = graph.tolerance(found)

    def products(c: float) -> _Both | None:
        moved = _rounded(call.inputs, c)
        with replayed(random, x):
            z, J_v, _ = aside(c * v, moved)
        beside = call._replace(inputs=moved)
        return _both(model, beside, c * v, J_v, z, random, parameters, limit)

    both = products(1)
    if both is not None:
        _require_equal(both, products, limit)
    if both is None or both.decided:
        keep(right, signature, passes)


def _require_alone(one_pass: _OnePass, v: Tensor, policy: str, x: Tensor, random: Random) -> None:
    """Raise ValueError where a v in some examples moves the output of others."""
    for some in separating(len(x), x.device):
        with replayed(random, x):
            _, J_v, _ = one_pass(torch.where(some[:, None], v, 0))
        if J_v[0][~some].any():
            raise ValueError(batch_norm.refusal(policy, of_torch=False))


class _Both(NamedTuple):
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

    def apart(self, beside: "_Both", c: float) -> tuple[Tensor, Tensor]:
        """How far this is from a c-th of the numbers for c v, at inputs that are rounded anew."""
        pairs = zip(self[:4], beside[:4], strict=True)
        value, other, gradient, expected = ((b / c - a).norm() for a, b in pairs)
        return torch.maximum(value, other), torch.maximum(gradient, expected)


def _rounded(inputs: Named, c: float) -> Named:
    """The inputs, moved by a rounding; as they are for c = 1."""
    if c == 1:
        return inputs
    return {
        name: (t + (_generic(t) * t * (c * torch.finfo(t.dtype).eps))).detach().requires_grad_()
        for name, t in inputs.items()
    }


def _require_equal(both: _Both, products: Callable[[float], _Both | None], limit: float) -> None:
    """Raise ValueError where forward mode gives other numbers than reverse mode."""
    if not (bool(torch.isfinite(both.other)) and bool(torch.isfinite(both.expected).all())):
        return
    size = torch.maximum(both.size, both.other.abs())
    off = (both.value - both.other).abs(), (both.gradient - both.expected).norm()
    most = limit * size, limit * both.expected.norm()
    if all(bool(a <= b) for a, b in zip(off, most, strict=True)):
        return
    beside = [(one, c) for c in euler.FACTORS if (one := products(c)) is not None]
    if any(one.gradient.shape != both.gradient.shape for one, _ in beside):
        return  # J v is 0 there, or its gradient is no number: rounding alone
    rounding = [both.apart(one, c) for one, c in beside]
    for i in range(2):
        largest = max((float(pair[i]) for pair in rounding), default=0.0)
        if not bool(off[i] <= max(float(most[i]), euler.MOST * largest)):
            raise ValueError(_WRONG)


def _both(
    model: Model,
    call: Call,
    v: Tensor,
    J_v: Tensor,
    z: Tensor,
    random: Random,
    parameters: list[Tensor],
    limit: float,
) -> _Both | None:
    """The numbers of both modes; None where reverse mode has none."""
    u = _generic(J_v)
    other = by_reverse_mode(model, call.inputs, v, u, z, random, limit)
    if other is None:
        return None
    terms, decided = u * J_v, bool(J_v.any())
    # Where J v = 0, so is the gradient of ‖J v‖². z may then be a constant, which does not show
    # whether the repeated pass has the dropout masks of the first.
    trained = parameters if call.create_graph and decided else []
    gradients = _gradient(terms.sum(), trained), _gradient(other, trained)
    values = terms.sum().detach().double(), other.detach().double()
    return _Both(*values, *gradients, terms.detach().double().norm(), decided)


def by_reverse_mode(
    model: Model, inputs: Named, v: Tensor, u: Tensor, z: Tensor, random: Random, limit: float
) -> Tensor | None:
    """⟨Jᵀu, v⟩ with its graph, in a pass of its own; None where there is none to compare with."""
    replay = replayed(random, first_of(inputs))
    with AttentionByFormula(), model.untouched(), replay, visible(model):
        try:
            again = model(copied(inputs), model.buffers())
            # Other masks may change the logits by little: then only 64 ε are rounding.
            drawn = not all(map(_same, random, random_state(first_of(inputs))))
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
        return s.new_zeros(sum(real(p).numel() for p in parameters), dtype=torch.float64)
    try:
        found = torch.autograd.grad(
            s, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
    except (RuntimeError, NotImplementedError):
        return s.new_full((1,), torch.nan, dtype=torch.float64)
    return torch.cat([real(g).flatten().double() for g in found])


def _generic(like: Tensor) -> Tensor:
    """Numbers of which no sum is zero by chance."""
    k = torch.arange(like.numel(), device=like.device)
    return torch.cos(k + 1.0).reshape(like.shape).to(like.dtype)


def _same(a: Tensor | None, b: Tensor | None) -> bool:
    """Whether states of a generator are equal."""
    return a is b or (a is not None and b is not None and torch.equal(a, b))


def _close(a: Tensor, b: Tensor, limit: float) -> bool:
    """Equal but for rounding, by their norms."""
    off, size = (a.double() - b.double()).norm(), b.double().norm()
    return bool(off <= limit * size)
