"""The trial inside `torch.func.grad` and the like, where there is no graph to look at.

Products have values there, unless `vmap` or `torch.compile` runs the call: these cannot be tried.
"""

from functools import partial
from typing import Any, cast
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from gradreg_torch._engine import batch_norm, checks, euler, examples, graph
from gradreg_torch._engine.call import Call
from gradreg_torch._engine.columns import column, not_zero, separating, without_pattern
from gradreg_torch._engine.examples import per_row
from gradreg_torch._engine.linear_trial import require_linear
from gradreg_torch._engine.model import Model
from gradreg_torch._engine.reverse import Reverse
from gradreg_torch._engine.trial import can_be_read, due

# By a module that a model holds, or by its code: how often each kind of call was made.
_PASSES: WeakKeyDictionary[Any, dict[tuple[Any, ...], int]] = WeakKeyDictionary()


def require_right(at_x: Reverse) -> None:
    """Raise ValueError where a penalty would be wrong, in the passes 1, 2, 4, 8, … of a model."""
    call, model = at_x.call, at_x.call.model
    assert isinstance(model, Model)
    if torch.compiler.is_compiling() or graph.in_vmap() or not can_be_read(at_x.output):
        return
    if due(_passes(model, call, len(at_x.output))):
        if call.policy in batch_norm.ALONE or call.batch is not None:
            _require_alone(at_x)
        z = at_x.output.detach()
        back = partial(at_x.vjp, create_graph=False)
        r = column(z, torch.ones(len(z), dtype=torch.bool, device=z.device))
        s = without_pattern(z)
        require_linear(back, (r, back(r)), (s, back(s)), {z.dtype})
        if call.create_graph:
            _require_twice(at_x, r)


def _passes(model: Model, call: Call, n: int) -> int:
    """The number of this call; 1 where the model has nothing to be known by."""
    code = getattr(model.function, "__code__", None)
    owner = next(iter(model.modules), code)
    if owner is None:
        return 1
    known = _PASSES.setdefault(owner, {})
    training = tuple(part.training for part in model.parts if hasattr(part, "training"))
    kind = (code, training, call.policy, call.batch is None, call.create_graph, n > 1)
    known[kind] = known.get(kind, 0) + 1
    return known[kind]


def _require_alone(at_x: Reverse) -> None:
    """Raise ValueError where a column that is zero in some examples has a product there."""
    call = at_x.call
    for some in separating(len(at_x.output), at_x.output.device):
        products = at_x.vjp(column(at_x.output.detach(), some), create_graph=False)
        others = per_row(~some, call.batch)
        if any(not_zero(v.detach()[others]) for v in products):
            if call.batch is not None:
                raise ValueError(examples.coupled())
            raise ValueError(batch_norm.refusal(call.policy, of_torch=False))


def _require_twice(at_x: Reverse, r: Tensor) -> None:
    """Raise ValueError where Euler's identity says that a part of a gradient is lost."""
    products, pullback = torch.func.vjp(partial(at_x.vjp, create_graph=True), r)  # type: ignore[misc]

    def forth(r: Tensor) -> euler.Products:
        return at_x.vjp(r, create_graph=False)

    def back(w: euler.Products) -> Tensor:
        (at_r,) = pullback(w)
        return cast("Tensor", at_r)

    limit = min(0.25, 16 * checks.single_eps(r.dtype) ** 0.5)
    if not euler.holds(r, products, forth, back, limit):
        raise ValueError(
            "expected a model that can be differentiated twice, got one whose backward pass "
            "records no graph for a part of it; call the penalty once outside the transform, which "
            "names the part, and use a backward pass of operations that autograd records"
        )
