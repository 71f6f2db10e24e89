"""Forward mode tried once: is J v, and its gradient, that of reverse mode?

torch differentiates some kernels wrongly in forward mode, without a word: right value, wrong
parameter gradient (`torch.linalg.solve`, `det` and `slogdet` in torch 2.13), or no value at all
(`scatter_reduce` of a product, Bessel functions). For one v and one u, ⟨u, J v⟩ and its gradient
in the parameters are the same by both modes. Where reverse mode cannot be differentiated twice, or
a pass repeated is another one, nothing is shown and nothing refused.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gradreg_torch._engine import checks, graph
from gradreg_torch._engine.inputs import Named, first_of, unflat, width
from gradreg_torch._engine.model import (
    AttentionByFormula,
    Model,
    Random,
    copied,
    replayed,
    visible,
)

# By a parameter, the operations of models that were right.
_RIGHT: Any = WeakTensorKeyDictionary()
WRONG = (
    "expected operations whose forward mode is right, got a J v, or its derivative, that is not "
    "that of reverse mode (torch's linear solvers and determinants have such); pass mode='auto'"
)


def require_right_gradient(
    one_pass: Callable[[Tensor], tuple[Any, ...]],
    model: Model,
    inputs: Named,
    found: list[Any],
    random: Any,
    twice: bool,
) -> None:
    """Raise ValueError unless ⟨u, J v⟩ is that of reverse mode; if `twice` its gradient too.

    `found` are the nodes of the output and of its products.
    """
    own = set(map(id, inputs.values()))
    leaves = [node.variable for node in found if type(node).__name__ == graph.LEAF]
    parameters = [p for p in leaves if id(p) not in own and not p._backward_hooks]
    right = _RIGHT.setdefault(parameters[0], set()) if parameters else set()
    signature = (twice, len(found), frozenset(graph.names(found)))
    if signature in right:
        return
    x = first_of(inputs)
    v = _generic(x.new_empty(1, x.shape[0], width(inputs)))
    with replayed(random, x):
        z, J_v, _ = one_pass(v)
    u = _generic(J_v)
    other = _by_reverse_mode(model, inputs, v, u, z, random)
    if other is None:
        return
    terms = u * J_v
    limit = _limit(z, *parameters)
    expected = _gradient(other, parameters if twice else [])
    if not (bool(other != 0) and bool(torch.isfinite(expected).all())):
        return
    off = (terms.sum() - other).abs()
    got = _gradient(terms.sum(), parameters if twice else [])
    if not (off <= limit * terms.norm() and _close(got, expected, limit)):
        raise ValueError(WRONG)
    right.add(signature)


def _by_reverse_mode(
    model: Model, inputs: Named, v: Tensor, u: Tensor, z: Tensor, random: Random
) -> Tensor | None:
    """⟨Jᵀu, v⟩ with its graph, in a pass of its own; None where there is none to compare with."""
    with AttentionByFormula(), replayed(random, first_of(inputs)), visible(model):
        try:
            again = model(copied(inputs), model.buffers())
            if not _close(again.detach(), z.detach(), _limit(z)):
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
    """In all parameters, one after the other; NaN where reverse mode has none of its own."""
    if not parameters or not s.requires_grad:
        return s.new_zeros(sum(p.numel() for p in parameters))
    try:
        found = torch.autograd.grad(
            s, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
    except (RuntimeError, NotImplementedError):
        return s.new_full((1,), torch.nan)
    return torch.cat([g.flatten().to(s) for g in found])


def _generic(like: Tensor) -> Tensor:
    """Numbers of which no sum is zero by chance."""
    k = torch.arange(like.numel(), device=like.device)
    return torch.cos(k + 1.0).reshape(like.shape).to(like.dtype)


def _limit(*tensors: Tensor) -> float:
    """16 √u of the lowest precision, at most a quarter: far above rounding."""
    device = tensors[0].device.type
    half = torch.is_autocast_enabled(device)
    dtypes = [t.dtype for t in tensors] + ([torch.get_autocast_dtype(device)] if half else [])
    return min(0.25, 16 * max(torch.finfo(d).eps for d in dtypes if d.is_floating_point) ** 0.5)


def _close(a: Tensor, b: Tensor, limit: float) -> bool:
    """Equal but for rounding, by their norms."""
    off, size = (a.double() - b.double()).norm(), b.double().norm()
    return bool(off <= limit * size)
