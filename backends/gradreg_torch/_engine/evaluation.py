"""One penalty: the call checked, one pass through the user's model, its products reduced."""

import warnings
from contextlib import nullcontext
from math import isfinite
from typing import NamedTuple, Protocol, Unpack

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from gradreg_torch._engine import batch_norm_twice, checks, distributed, graph
from gradreg_torch._engine.call import Call, ModelOrLogits, Options, checked
from gradreg_torch._engine.contraction import Contraction
from gradreg_torch._engine.differences import Differences
from gradreg_torch._engine.forward import Forward
from gradreg_torch._engine.inputs import Inputs, first_of
from gradreg_torch._engine.kinks import kinks
from gradreg_torch._engine.model import Snapshot, copied, random_state, visible
from gradreg_torch._engine.reverse import Reverse, functional_pass


class Linearised(Protocol):
    """One pass through a model. It is made once, and nothing changes it afterwards."""

    def contract(self, R: Contraction, chunk_size: int | None) -> tuple[Tensor, Tensor]:
        """‖JᵀR‖²_F of every example, (n,), and the model's output (n, …)."""
        ...


class Evaluated(NamedTuple):
    """A penalty, and the output of the pass that it was computed in."""

    penalty: Tensor
    output: Tensor


def evaluate(
    model: ModelOrLogits,
    x: Inputs,
    R: Contraction,
    *,
    update_statistics: bool = False,
    **options: Unpack[Options],
) -> Evaluated:
    """‖JᵀR‖²_F of a model at x, reduced over the batch, and the model's output."""
    if options.keys() - Options.__annotations__.keys():
        checks.option_names("a penalty", options, Options.__annotations__)
    call = checked(model, x, R, update_statistics, **options)
    with torch.enable_grad():
        values, output = linearise(call).contract(R, call.chunk_size)
        if isinstance(model, nn.parallel.DistributedDataParallel):
            values = distributed.reaching_all(model, values)
    total = values.sum()
    if call.reads and not isfinite(total.detach()):
        checks.finite_value(values)
    if call.reduction == "none":
        penalty = values
    else:
        penalty = total if call.reduction == "sum" else values.mean()
    return Evaluated(penalty if call.create_graph else penalty.detach(), output)


def linearise(call: Call) -> Linearised:
    """The pass that a call asks for. The one place where a mode is decided."""
    if isinstance(call.model, Tensor):
        return of_logits(call)
    mode = call.mode
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        mode = distributed.allowed(call.model.function, mode)
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
    # No pass follows one in reverse mode; others repeat buffers and random numbers.
    random = None if mode == "reverse" else random_state(first_of(call.inputs))
    before = Snapshot(call.model.buffers(), random)
    # Copies, as a model may work in place on what it is given.
    copies = {name: tensor.clone() for name, tensor in call.inputs.items()}
    twice = call.create_graph and mode in ("reverse", "auto")
    kernel = sdpa_kernel(SDPBackend.MATH) if twice else nullcontext()
    closed = twice and batch_norm_twice.has_batch_norm(call.model.function)
    norm = batch_norm_twice.TwiceDifferentiable() if closed else nullcontext()
    with visible(call.model.function), kernel, norm:
        own = None if call.update_statistics else copied(before.buffers)
        output = call.accept(call.model(copies, own))
    at_x = Reverse(output, call.inputs, call.create_graph, call.reads)
    if not call.create_graph:
        return at_x
    found = graph.nodes(output)
    mode = resolved(mode, {node.name() for node in found})
    if mode == "reverse":
        return at_x
    coupled = graph.couples_examples(found)
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
        resolved("reverse", {node.name() for node in found})
    return Reverse(output, call.inputs, call.create_graph, call.reads)


def resolved(mode: str, names: set[str]) -> str:
    """The mode that "auto" takes for a graph with these nodes; other modes are held against it.

    Reverse mode, unless an operation has no double backward. Finite differences then: they estimate
    the same number, value exact, gradient to O(h²); a warning says so.
    """
    graph.require_input_gradient(names)
    once_only = graph.without_double_backward(names)
    if mode == "reverse" and once_only:
        raise ValueError(graph.no_double_backward(once_only[0]))
    if mode != "auto":
        return mode
    if not once_only:
        return "reverse"
    warnings.warn(
        f"mode='auto' takes finite differences: {', '.join(once_only)} cannot be differentiated "
        "twice; the penalty's value is exact, its gradient to O(h²); pass "
        "mode='finite_difference' to have it silently",
        stacklevel=2,
    )
    return "finite_difference"
