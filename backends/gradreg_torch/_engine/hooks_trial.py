"""A trial of the backward hooks of modules: do they change Jᵀr, which is then no product with J?"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from gradreg_torch._engine import distributed, graph
from gradreg_torch._engine.call import Call
from gradreg_torch._engine.inputs import first_of
from gradreg_torch._engine.model import Model, copied, visible
from gradreg_torch._engine.random import random_state, replayed
from gradreg_torch._engine.reverse import Reverse
from gradreg_torch._engine.trial import can_be_read, parameter_of

_TABLES = "_backward_hooks", "_backward_pre_hooks"
_RIGHT: Any = WeakTensorKeyDictionary()  # by a parameter, numbers of hooks that change nothing


def require_no_change(call: Call, model: Model, output: Tensor, found: list[Any]) -> None:
    """Raise ValueError where a pass without the hooks has another Jᵀr."""
    numbers = tuple(len(getattr(part, name, ())) for part in model.parts for name in _TABLES)
    if not any(numbers) or distributed.parallel() or not can_be_read(output):
        return
    parameter = parameter_of(found, call.inputs)
    right = set() if parameter is None else _RIGHT.setdefault(parameter, set())
    if numbers in right:
        return
    with_hooks = _product(call, model)
    with _without(model.parts):
        without = _product(call, model)
    if bool((with_hooks - without).norm() > graph.tolerance(found) * without.norm()):
        raise ValueError(
            "expected backward hooks that leave gradients as they are, got hooks of a module that "
            "change them: the penalty would be computed for another function; remove the hooks "
            "before the penalty, or change the gradients of parameters after backward()"
        )
    right.add(numbers)


def _product(call: Call, model: Model) -> Tensor:
    """Jᵀr of a pass of its own, for an r without a pattern."""
    x = first_of(call.inputs)
    with model.untouched(), replayed(random_state(x), x), visible(model):
        output = model(copied(call.inputs), model.buffers())
        k = torch.arange(1, output.numel() + 1, device=x.device, dtype=torch.float32)
        r = torch.cos(k * k).reshape(output.shape).to(output.dtype)
        products = Reverse(call, output).vjp(r, create_graph=False)
    return torch.cat([v.flatten() for v in products])


@contextmanager
def _without(parts: tuple[nn.Module, ...]) -> Iterator[None]:
    """A context in which the parts have no backward hooks."""
    kept = [(table, dict(table)) for p in parts for n in _TABLES if (table := getattr(p, n, None))]
    try:
        for table, _ in kept:
            table.clear()
        yield
    finally:
        for table, content in kept:
            table.update(content)
