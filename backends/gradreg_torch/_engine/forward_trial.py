"""A trial of forward mode: are examples independent, and is J v right?

If v is zero in all but some examples, J v is zero in the other examples, unless examples depend on
each other.

torch differentiates some kernels wrongly in forward mode and gives no error: the value is right and
the parameter gradient wrong (`torch.linalg.solve`, `det` and `slogdet` in torch 2.13), or the value
is missing (`scatter_reduce` of a product; Bessel functions in torch 2.13). The trial compares
⟨u, J v⟩ and its parameter gradient, for one v and one u, between both modes. The trial decides
nothing where reverse mode cannot be differentiated twice, or where a repeated pass gives other
logits.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gradreg_torch._engine import batch_norm, graph
from gradreg_torch._engine.both_modes import Both, both, generic, nudged, require_equal
from gradreg_torch._engine.call import Call
from gradreg_torch._engine.columns import not_zero, separating
from gradreg_torch._engine.inputs import first_of, width
from gradreg_torch._engine.model import Model
from gradreg_torch._engine.random import Random, Undropped, replayed
from gradreg_torch._engine.trial import due, keep, operations

_OnePass: TypeAlias = Callable[..., tuple[Any, ...]]  # of columns, and of inputs

# By a parameter, the operations of models that were right, and how many passes they had.
_RIGHT: Any = WeakTensorKeyDictionary()


def require_right(
    one_pass: _OnePass, model: Model, call: Call, found: list[Any], random: Random
) -> bool:
    """Raise ValueError where forward mode is wrong; return whether the pass was tried.

    `found` are the nodes of output and products. The trial runs when it is `due`, and as long as
    all products were zero.
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
            return False
    untouched = model.untouched()

    def aside(*given: Any) -> tuple[Any, ...]:
        with untouched:
            return one_pass(*given)

    v = generic(x.new_empty(1, x.shape[0], width(call.inputs)))
    if alone:
        with torch.no_grad():
            _require_alone(aside, v, call.policy, x, random)
    limit = graph.tolerance(graph.dtypes(found))

    def products(c: float) -> Both | None:
        moved = nudged(call.inputs, c)
        with replayed(random, x):
            z, J_v, _ = aside(c * v, moved)
        beside = call._replace(inputs=moved)
        return both(model, beside, c * v, J_v, z, random, parameters, limit)

    at_x = products(1)
    context: AbstractContextManager[Any] = nullcontext()
    if at_x is None:  # under a transform, dropout's masks may lie in another order in memory
        with (context := Undropped()):
            at_x = products(1)
    if at_x is not None:
        with context:
            require_equal(at_x, products, limit)
    if at_x is None or at_x.decided:
        keep(right, signature, passes)
    return True


def _require_alone(one_pass: _OnePass, v: Tensor, policy: str, x: Tensor, random: Random) -> None:
    """Raise ValueError where a v in some examples moves the output of others."""
    for some in separating(len(x), x.device):
        with replayed(random, x):
            _, J_v, _ = one_pass(torch.where(some[:, None], v, 0))
        if not_zero(J_v[0][~some]):
            raise ValueError(batch_norm.refusal(policy, of_torch=False))
