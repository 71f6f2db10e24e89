"""What calls of a function change in their caller, in words."""

import gc
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from gradreg_verify.frameworks.harness import Call
from gradreg_verify.frameworks.torch import state
from gradreg_verify.frameworks.torch.memory import Graph, Made
from gradreg_verify.frameworks.torch.randomness import seed_all
from gradreg_verify.outcomes import Broken, NotTestable

_SEEDS = (20261123, 20270311)  # none that a function would set
_LONGEST_HISTORY = 200  # of calls


def of_calls(harness: Any, call: Call, *, random: bool) -> list[str]:
    """What a call in training mode leaves changed; `random`: it may draw."""
    found: list[str] = []
    left: list[dict[str, Any]] = []
    harness.settings_changed.clear()
    for seed in _SEEDS:
        whole = seed == _SEEDS[0]
        # The second time as in fine-tuning: a layer is frozen, another one in evaluation mode, and
        # no .grad is there yet.
        asked = replace(call, training=True, requires_grad=whole, frozen=not whole)
        module, x, y = harness.prepare(asked)
        for leaf in (*module.parameters(), x) if whole else ():
            leaf.grad = torch.ones_like(leaf)
        if not whole:
            next(module.children()).eval()
        seed_all(seed, harness.generators)
        before, made = state.of_call(module, x, y), (Made(), Made())
        with made[0]:
            value, names = _watched(harness, asked, module, x, y)
        left.append(state.of_call(module, x, y))
        names += state.changed(before, left[-1], random=random)
        found += names
        graph = Graph(value)
        if value.requires_grad:  # tensors that are saved elsewhere go with the backward pass
            harness.differentiated(asked, value, module)
        del value
        if not names:  # and whether another call lets go of what the first one made
            with made[1]:
                harness.forward(asked, module, x, y)
            if graph.kept():
                found.append("memory: it keeps the graphs of earlier calls")
            elif _kept(made, partial(harness.forward, asked, module, x, y)):
                found.append("memory: it keeps tensors of every call")
    # Without grad mode, and with a default dtype that x does not have; it may refuse.
    seed_all(_SEEDS[0], harness.generators)
    with suppress(Broken, NotTestable):
        harness.forward(replace(call, no_grad=True), module, x, y, default="float32")
    found += state.seeds_set(*left) + sorted(harness.settings_changed)
    return list(dict.fromkeys(found))


def _kept(made: tuple[Made, Made], again: Callable[[], Any]) -> bool:
    """Whether tensors of two calls are still there after many more.

    A cache keeps those of the first call alone, and a history of some length lets go of them.
    """
    for _ in range(_LONGEST_HISTORY):
        if not _of_both(*made):
            return False
        again()
    gc.collect()
    return _of_both(*made)


def _of_both(first: Made, second: Made) -> bool:
    """Whether tensors of the first call, and others of the second, are still there."""
    return bool(first.alive() and second.alive() - first.alive())


def _watched(
    harness: Any, call: Call, module: nn.Module, x: Tensor, y: Tensor
) -> tuple[Tensor, list[str]]:
    """One call's value, and what the call changed that is gone after it."""
    made: list[tuple[Tensor, Tensor]] = []
    kept = module.register_forward_hook(lambda _, __, z: made.append((z, z.detach().clone())))
    try:
        with _passes(module, x) as found:
            value = harness.forward(call, module, x, y)
    finally:
        kept.remove()
    # Logits made in the function are its own.
    for z, before in made[:1] if "logits" in harness.arguments else ():
        found += ["the logits"] * (not torch.equal(z, before))
        found += ["hooks of the logits"] * bool(z._backward_hooks)
    return value, found


@contextmanager
def _passes(module: nn.Module, x: Tensor) -> Iterator[list[str]]:
    """Watch which passes of the model move the running means of batch norm."""
    found: list[str] = []
    own, kept = list(module.buffers()), list[Tensor]()

    def before(_: Any, __: Any) -> None:
        kept[:] = [b.clone() for b in own]

    def after(_: Any, inputs: Any, __: Any) -> None:
        moved = not all(map(torch.equal, kept, own))
        plain = [a for a in inputs if not torch._C._functorch.is_functorch_wrapped_tensor(a)]
        if moved and not all(torch.equal(a, x) for a in plain):
            found[:] = ["the running means of batch norm, by a pass of other inputs than x"]

    handles = module.register_forward_pre_hook(before), module.register_forward_hook(after)
    try:
        yield found
    finally:
        for handle in handles:
            handle.remove()
