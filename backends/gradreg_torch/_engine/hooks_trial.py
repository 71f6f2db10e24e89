"""A trial of backward hooks, of tensors and modules: is Jᵀr with them the product of another J?

Torch does not say which hooks a graph has. So the product is also computed node by node, which runs
no hooks. Where both differ, the hooks are wrong, unless they make the product right: an implicit
layer, whose graph is one step of its solver, has such a hook.
"""

from collections import Counter
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import get_gradient_edge

from gradreg_torch._engine import checks, distributed, graph
from gradreg_torch._engine.call import Call
from gradreg_torch._engine.columns import differ, without_pattern
from gradreg_torch._engine.inputs import Named, first_of
from gradreg_torch._engine.model import Model, copied, visible
from gradreg_torch._engine.random import random_state, replayed
from gradreg_torch._engine.reverse import Reverse


def changes(at_x: Reverse, r: Tensor, products: tuple[Tensor, ...], found: list[Any]) -> str:
    """What changes the products, in words, where it makes them right; "" where nothing does.

    Raises ValueError where hooks make the products wrong.
    """
    plain = without_hooks(at_x, r, found)
    if plain is None:
        return ""
    limit = graph.tolerance(graph.dtypes(found))
    if not differ(products, plain, limit):
        return ""
    if differ(at_x.vjp(r, create_graph=False), products, limit):
        raise ValueError(
            "expected a backward pass that gives the same product twice, got one that draws random "
            "numbers: pass preserve_rng_state=True to torch.utils.checkpoint, and leave noise in "
            "gradients out of the model that is penalised"
        )
    model = at_x.call.model
    if isinstance(model, Model) and _makes_right(at_x.call, model):
        return "a backward hook"
    raise ValueError(
        "expected backward hooks that leave gradients as they are, got hooks of a module or a "
        "tensor that change them: the penalty would be computed for another function; remove the "
        "hooks before the penalty, or change the gradients of parameters after backward()"
    )


def _makes_right(call: Call, model: Model) -> bool:
    """Whether differences of the logits are nearer to the product with hooks than to that without.

    The passes are separate, and the direction has no pattern.
    """
    if distributed.communicates(model.parts):
        return False
    x = first_of(call.inputs)
    random, h = random_state(x), checks.single_eps(x.dtype) ** (1 / 3)

    def logits(inputs: Named) -> Tensor:
        with (
            distributed.unwrapped(model.parts),
            model.untouched(),
            replayed(random, x),
            visible(model),
        ):
            return Reverse(call, model(copied(inputs), model.buffers())).output

    z = logits(call.inputs)
    r, along = without_pattern(z), {k: without_pattern(t) for k, t in call.inputs.items()}
    at_x = Reverse(call, z)
    if (plain := without_hooks(at_x, r, graph.nodes(z))) is None:
        return False
    above, below = (logits({k: t + s * along[k] for k, t in call.inputs.items()}) for s in (h, -h))
    found = (r * (above - below)).sum() / (2 * h)
    hooked, other = (
        sum((v * d).sum() for v, d in zip(some, along.values(), strict=True))
        for some in (at_x.vjp(r, create_graph=False), plain)
    )
    return bool((hooked - found).abs() < 0.1 * (other - found).abs())


def without_hooks(at_x: Reverse, r: Tensor, found: list[Any]) -> list[Tensor] | None:
    """Jᵀr without hooks; None where only the engine can run a node."""
    products: list[Tensor] = []

    def walk(_: Tensor) -> None:  # a checkpoint computes its block once in one backward pass
        with torch.no_grad():
            products.extend(_by_nodes(at_x.output, r, [*at_x.call.inputs.values()], found))

    start = torch.ones((), device="cpu", requires_grad=True)
    start.register_hook(walk)  # type: ignore[no-untyped-call]
    try:
        # `autograd.grad` would have nodes compute for `start` alone.
        (start * 1).backward()  # type: ignore[no-untyped-call]
    except torch.OutOfMemoryError:
        raise
    except Exception:
        return None
    return products


def _by_nodes(z: Tensor, r: Tensor, inputs: list[Tensor], found: list[Any]) -> list[Tensor]:
    """Jᵀr for all inputs, by calling the nodes from z down; a node waits for all above it."""
    way = graph.from_inputs(found, inputs)
    above = Counter(c for node in found if node in way for c, _ in node.next_functions if c in way)
    arrived: dict[Any, dict[int, Tensor]] = {node: {} for node in way}
    arrived[z.grad_fn][z.output_nr] = r
    ready: list[Any] = [z.grad_fn]
    for node in ready:  # the loop appends to it
        children = [edge for edge in node.next_functions if edge[0] is not None]
        if not any(child in way for child, _ in children):
            continue
        for (child, i), g in zip(children, _left(node, arrived.pop(node)), strict=True):
            if child in way:
                if g is not None:
                    g, at = _fitted(g, child._input_metadata[i]), arrived[child]
                    at[i] = at[i] + g if i in at else g
                above[child] -= 1
                if not above[child]:
                    ready.append(child)
    edges = [get_gradient_edge(x) for x in inputs]
    return [
        arrived[e.node].get(e.output_nr, torch.zeros_like(x))
        for x, e in zip(inputs, edges, strict=True)
    ]


def _left(node: Any, arrived: dict[int, Tensor]) -> list[Tensor | None]:
    """What a node makes of the gradients that arrived, for each of its children."""
    metadata = node._input_metadata
    if not isinstance(node, graph.OF_PYTHON):
        left = node(*(arrived.get(i) for i in range(len(metadata))))
        left = left if isinstance(left, tuple) else (left,)
        return [g for g, (child, _) in zip(left, node.next_functions, strict=True) if child]
    device = next(iter(arrived.values())).device
    zeros = (torch.zeros(tuple(m.shape), dtype=m.dtype, device=device) for m in metadata)
    left = node.apply(*(arrived.get(i, zero) for i, zero in enumerate(zeros)))
    left = left if isinstance(left, tuple) else (left,)
    return [g for g, needed in zip(left, node.needs_input_grad, strict=False) if needed]


def _fitted(g: Tensor, metadata: Any) -> Tensor:
    """A gradient as the engine hands it on: added up over what was broadcast."""
    real = g.real if g.is_complex() and not metadata.dtype.is_complex else g
    return real.sum_to_size(tuple(metadata.shape)).to(metadata.dtype)
