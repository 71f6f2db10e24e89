"""One penalty: the call checked, one pass through the user's model, its products reduced."""

import warnings
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from math import isfinite
from typing import Any, NamedTuple, Unpack

import torch
from torch import Tensor

from gradreg_torch._engine import (
    batch_norm,
    batch_norm_twice,
    checks,
    coarse,
    distributed,
    examples,
    functional_trial,
    functions_trial,
    graph,
    repeats,
    two_steps,
)
from gradreg_torch._engine.call import Call, ModelOrLogits, Options, checked
from gradreg_torch._engine.compiling import eager_where_old
from gradreg_torch._engine.contraction import Contraction, Side
from gradreg_torch._engine.decisions import Watch
from gradreg_torch._engine.differences import Differences
from gradreg_torch._engine.forward import Forward
from gradreg_torch._engine.inputs import Inputs, first_of
from gradreg_torch._engine.kinks import kinks
from gradreg_torch._engine.model import (
    Model,
    Snapshot,
    copied,
    forget_casts,
    visible,
)
from gradreg_torch._engine.process import attention_by_formula
from gradreg_torch._engine.random import random_state
from gradreg_torch._engine.reverse import Reverse
from gradreg_torch._engine.sums import reduce
from gradreg_torch._engine.trial import Trial, parameter_of, tried
from gradreg_torch._engine.written import Written, may_move


class Evaluated(NamedTuple):
    """A penalty, the output of its pass, and whether checks that read values ran there."""

    penalty: Tensor
    output: Tensor
    reads: bool


@eager_where_old
def evaluate(
    model: ModelOrLogits,
    x: Inputs,
    R: Contraction,
    update_statistics: bool = False,
    /,
    **options: Unpack[Options],
) -> Evaluated:
    """‖JᵀR‖²_F of a model at x, reduced over the batch, and the model's output."""
    run: Any = evaluated_here
    if torch.compiler.is_compiling() and (R.draws or "difference" in str(options.get("mode"))):
        from gradreg_torch._engine import uncompiled  # slow to import

        run = uncompiled.drawing if R.draws else uncompiled.by_differences
    evaluated: Evaluated = run(model, x, R, update_statistics, **options)
    return evaluated


def evaluated_here(
    model: ModelOrLogits, x: Inputs, R: Contraction, update_statistics: bool, /, **options: Any
) -> Evaluated:
    """Compute what `evaluate` returns; `evaluate` decides whether torch may compile it."""
    if options:
        checks.option_names("a penalty", options, Options.__annotations__)
    create_graph = torch.is_grad_enabled()
    forget_casts()
    with torch.enable_grad():
        call = checked(model, x, R, create_graph, update_statistics, **options)
        # Attention that can be differentiated twice, in the pass and where a checkpoint repeats it.
        twice = create_graph and call.mode in ("reverse", "auto") and not call.functional
        with attention_by_formula if twice else nullcontext():
            at = _linearise(call)
            values, output, reads = at.contract(R)
        if twice and isinstance(at, Reverse) and at.fresh:
            repeats.warn_of_other_kernels(at)
        if call.parallel and isinstance(call.model, Model):
            values = distributed.reaching_all(call.model.parts, values, output)
    penalty = reduce(values, call.reduction)
    if reads and not isfinite((penalty if penalty.ndim == 0 else penalty.sum()).detach()):
        checks.finite_value(penalty)
    if call.create_graph and at.last and penalty.requires_grad:
        penalty.register_hook(graph.require_last)  # type: ignore[no-untyped-call]
    return Evaluated(penalty if call.create_graph else penalty.detach(), output, reads)


def _linearise(call: Call) -> Reverse | Forward | Differences:
    """The pass that a call asks for. The one place where a mode is decided."""
    model, mode = call.model, call.mode
    if isinstance(model, Tensor):
        return _of_logits(call, model)
    if call.parallel:
        mode = distributed.allowed(model.parts, mode)
        if not call.update_statistics or "difference" in mode:
            distributed.require_no_join(model.parts)
    if mode == "forward":
        return Forward(model, call)
    if call.functional:
        run = partial(model.pure, list(call.inputs))
        output, pullback, moved = torch.func.vjp(run, *call.inputs.values(), has_aux=True)  # type: ignore[misc]
        at_x = Reverse(call, call.accept(output, moved), pullback)
        functional_trial.require_right(at_x)
        return at_x
    return _eager(call, model, mode)


def _eager(call: Call, model: Model, mode: str) -> Reverse | Differences:
    """Run the model; the graph of its output says which mode is right for it."""
    # No pass follows one in reverse mode; others repeat buffers and random numbers.
    random = None if mode == "reverse" else random_state(first_of(call.inputs))
    before = Snapshot(model.buffers(), random)
    twice = call.create_graph and mode in ("reverse", "auto")
    closed = twice and batch_norm.has_batch_norm(model.parts)
    norm = batch_norm_twice.TwiceDifferentiable() if closed else nullcontext()
    watch = Watch() if "difference" in mode else None
    with visible(model), norm, watch or nullcontext():
        own = None if call.update_statistics else copied(before.buffers)
        at_x = Reverse(call, call.accept(model(copied(call.inputs), own)))
    mode, trial, found = _examined(call, at_x, mode)
    at_x = _shown(at_x, trial)
    if mode == "reverse" or not call.create_graph:
        return at_x
    if trial.coupled and call.reduction == "none":
        raise ValueError(
            "expected reduction='mean' or 'sum' with finite differences through batch norm in "
            "training mode, or a model whose examples otherwise depend on each other, got 'none': "
            "only the gradient of the sum is known; pass mode='reverse' or batchnorm='eval'"
        )
    distributed.require_no_join(model.parts)  # of mode="auto" too
    graph.require_seen(found)
    kinked = watch is None or watch.seen or bool(kinks(found))
    checks.at_least_single(t.dtype for t in call.inputs.values())  # of mode="auto" too
    if trial.coarse:
        back = partial(at_x.vjp, create_graph=False)
        coarse.require_fine(back, at_x.output.detach(), graph.dtypes(found))
    eps = graph.largest_eps(graph.dtypes(found).difference(checks.HALF))  # autocast ends beside x
    autocast = torch.is_autocast_enabled(at_x.output.device.type)
    hides = bool(graph.custom_functions(found))
    if hides and not at_x.call.reads:  # only values show whether a function computes in float32
        eps, hides = max(eps, torch.finfo(torch.float32).eps), False
    if before.buffers and may_move(model.parts):
        model = replace(model, written=Written())
    drawn = random_state(first_of(call.inputs))
    fresh = trial.fresh and not distributed.communicates(model.parts)
    taken = two_steps.taken(parameter_of(found, call.inputs))
    return Differences(
        *(at_x, model, before, mode, trial.coupled, kinked, eps, hides, autocast),
        *(drawn, fresh, taken),
    )


def coupling(call: Call) -> tuple[bool, Side]:
    """Whether one example's logits depend on another's x, in a pass of its own; its logits."""
    assert isinstance(call.model, Model)
    with torch.enable_grad(), visible(call.model):
        output = call.model(copied(call.inputs), call.model.buffers())
        at_x = Reverse(call, call.accept(output))
        return tried(at_x, graph.nodes(at_x.output), twice=False).coupled, at_x.side


def _of_logits(call: Call, logits: Tensor) -> Reverse:
    """The pass that the user has made: logits with their graph."""
    at_x = Reverse(call, call.accept(logits))
    if call.functional:
        return at_x
    _, trial, _ = _examined(call, at_x, "reverse")
    return _shown(at_x, trial)


def _shown(at_x: Reverse, trial: Trial) -> Reverse:
    """The pass with what its trial showed; a trial reads values, so checks of values run then."""
    call, output = at_x.call, at_x.output
    call = call.after(output) if trial.fresh else call
    shown = trial.last, trial.coupled, trial.by_norm, trial.apart, trial.fresh
    return Reverse(call, output, None, *shown)


def _examined(call: Call, at_x: Reverse, mode: str) -> tuple[str, Trial, list[Any]]:
    """Return the mode that is right for a graph, what its trial showed, and its nodes."""
    ragged, alone = call.batch is not None, call.policy in batch_norm.ALONE
    found = graph.nodes(at_x.output)
    # A batch is another one at every step, and with "none" each value depends on it.
    again = ragged and call.reduction == "none"
    twice = call.create_graph and mode in ("reverse", "auto")
    trial = tried(at_x, found, twice, again)
    if not trial.once and not trial.plain:
        once = functions_trial.missing(call, mode, at_x.output, found)
        trial = trial._replace(once=once if twice else "")
    if trial.coupled and ragged and not trial.by_norm:
        raise ValueError(examples.coupled())
    if trial.coupled and alone:
        raise ValueError(batch_norm.refusal(call.policy, trial.by_norm))
    return _resolved(mode, trial.once), trial, found


def _resolved(mode: str, once: str) -> str:
    """The mode that "auto" takes; `once` says what cannot be differentiated twice.

    Reverse mode, unless an operation has no double backward. Finite differences then: they estimate
    the same number, value exact, gradient to O(h²); a warning says so.
    """
    if mode == "reverse" and once:
        raise ValueError(graph.no_double_backward(once))
    if mode != "auto":
        return mode
    if not once:
        return "reverse"
    warnings.warn(
        f"mode='auto' takes finite differences: {once} cannot be differentiated twice; the "
        "penalty's value is exact, its gradient to O(h²); pass mode='finite_difference' to have "
        "it silently",
        stacklevel=2,
    )
    return "finite_difference"
