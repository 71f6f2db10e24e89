"""The pass through the user's model, and the one place where its mode is decided."""

import warnings
from contextlib import nullcontext
from typing import Protocol

import torch
from torch import Tensor

from gradreg_torch._engine import batch_norm, distributed, graph
from gradreg_torch._engine.call import Call
from gradreg_torch._engine.contraction import Contraction
from gradreg_torch._engine.differences import Differences
from gradreg_torch._engine.forward import Forward
from gradreg_torch._engine.kinks import kinks
from gradreg_torch._engine.model import Snapshot, copied, math_attention, visible
from gradreg_torch._engine.reverse import Reverse, functional_pass


class Linearised(Protocol):
    """One pass through a model. It is made once, and nothing changes it afterwards."""

    def contract(self, R: Contraction, chunk_size: int | None) -> tuple[Tensor, Tensor]:
        """‖JᵀR‖²_F of every example, (n,), and the model's output (n, …)."""
        ...


def linearise(call: Call) -> Linearised:
    """The pass that a call asks for, in the mode that is right for its model."""
    if isinstance(call.model, Tensor):
        return of_logits(call)
    mode = distributed.allowed(call.model.function, call.mode)
    if mode == "forward":
        return Forward(call.model, call.inputs, call.accept, call.reads)
    if torch.compiler.is_compiling():
        output, pullback, moved = functional_pass(call.model, call.inputs)
        output = call.accept(output, moved)
        return Reverse(output, call.inputs, call.create_graph, call.reads, pullback)
    return eager(call, mode)


def eager(call: Call, mode: str) -> Linearised:
    """Run the model; the graph of its output says which mode is right for it."""
    assert not isinstance(call.model, Tensor)
    before = Snapshot.of(call.model, call.inputs, mode)
    # Copies, as a model may work in place on what it is given.
    copies = {name: tensor.clone() for name, tensor in call.inputs.items()}
    twice = call.create_graph and mode in ("reverse", "auto")
    with visible(call.model.function), math_attention() if twice else nullcontext():
        own = None if call.update_statistics else copied(before.buffers)
        output = call.accept(call.model(copies, own))
    at_x = Reverse(output, call.inputs, call.create_graph, call.reads)
    if not call.create_graph:
        return at_x
    found = graph.nodes(output)
    mode = resolved(mode, graph.names_of(found))
    if mode == "reverse":
        return at_x
    coupled = batch_norm.couples(found)
    if coupled and call.reduction == "none":
        raise ValueError(
            "expected reduction='mean' or 'sum' with finite differences through batch norm in "
            "training mode, got 'none': only the gradient of the sum is known; "
            "pass mode='reverse' or batchnorm='eval'"
        )
    return Differences(at_x, call.model, before, mode, coupled, bool(kinks(found)))


def of_logits(call: Call) -> Reverse:
    """The pass that the user has made: logits with their graph."""
    output = call.accept(call.model)
    if call.create_graph and not torch.compiler.is_compiling():
        found = graph.nodes(output)
        distributed.allowed_logits(found)
        resolved("reverse", graph.names_of(found))
    return Reverse(output, call.inputs, call.create_graph, call.reads)


def resolved(mode: str, names: set[str]) -> str:
    """The mode that "auto" takes for a graph with these nodes; other modes are held against it.

    Reverse mode, unless an operation has no double backward. Finite differences then: they estimate
    the same number, value exact, gradient to O(h²); a warning says so.
    """
    graph.require_input_gradient(names)
    if mode == "reverse":
        graph.require_double_backward(names)
    if mode != "auto":
        return mode
    once_only = graph.without_double_backward(names)
    if not once_only:
        return "reverse"
    warnings.warn(
        f"mode='auto' takes finite differences: {', '.join(once_only)} cannot be differentiated "
        "twice; the penalty's value is exact, its gradient to O(h²); pass "
        "mode='finite_difference' to have it silently",
        stacklevel=2,
    )
    return "finite_difference"
