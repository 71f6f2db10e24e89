"""Kinks, held open for finite differences: on which side each unit is, as at x, also near x.

A ReLU that switches between x − hu and x + hu makes ∂z/∂θ jump, and a jump divided by 2h swamps the
gradient: with kinks crossed, float32 differences were seen off by a factor of 10 to 80. So a pass
at x itself records every piecewise linear function as c·x + d on its piece, every max pool by the
indices it took, every comparison by its outcome (see `decisions`), and the passes beside it repeat
them: the same network, linear where it was linear.
"""

import re
from collections import deque
from collections.abc import Callable
from math import inf
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

from gradreg_torch._engine import decisions
from gradreg_torch._engine.graph import in_transform, name_of, saved_tensor_hooks

_PIECEWISE_LINEAR: set[Callable[..., Any]] = {
    *(F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_),
    *(F.relu6, F.hardtanh, F.leaky_relu, F.threshold, F.hardsigmoid, F.softshrink),
    *(torch.abs, Tensor.abs, torch.frac, Tensor.frac),
}
# For each function: the bounds that it takes, in order.
_CLAMPS: dict[Callable[..., Any], tuple[str, ...]] = {
    getattr(where, name): bounds
    for where in (torch, Tensor)
    for name, bounds in {
        "clamp": ("min", "max"),
        "clip": ("min", "max"),
        "clamp_min": ("min",),
        "clamp_max": ("max",),
    }.items()
}
_IN_PLACE = {F.relu_, torch.relu_, Tensor.relu_}
# For each function: the pool that returns indices, and its number of axes.
_POOLS: dict[Callable[..., Any], tuple[Callable[..., Any], int]] = {
    torch.max_pool1d: (F.max_pool1d, 1),
    torch.max_pool2d: (F.max_pool2d, 2),
    torch.max_pool3d: (F.max_pool3d, 3),
    F.max_pool1d: (F.max_pool1d, 1),
    F.max_pool2d: (F.max_pool2d, 2),
    F.max_pool3d: (F.max_pool3d, 3),
    F.adaptive_max_pool1d: (F.adaptive_max_pool1d, 1),
    F.adaptive_max_pool2d: (F.adaptive_max_pool2d, 2),
}
_HELD = {*_PIECEWISE_LINEAR, *_CLAMPS, *_POOLS, F.prelu, F.hardswish}
# Nodes whose derivative jumps; `_has_kink` decides for functions that jump only sometimes.
_KINKED = re.compile(
    "(Relu|LeakyRelu|Threshold|Hardtanh|Hardsigmoid|Hardswish|PreluKernel|RreluWithNoise|Softshrink"
    "|Hardshrink|Clamp|ClampMin|ClampMax|Abs|Max|Min|Maximum|Minimum|Amax|Amin|Aminmax|Sort|Topk"
    "|Kthvalue|Median|Nanmedian|Cummax|Cummin|Mode|Renorm|Frac|Fmod|Remainder"
    "|Sign|Sgn|Floor|Ceil|Round|Trunc|(Adaptive|Fractional)?MaxPool.*)Backward"
)


def kinks(found: list[Any]) -> set[str]:
    """Names of the nodes, of these, where a derivative jumps."""
    return {name_of(node) for node in found if _has_kink(node)}


def _has_kink(node: Any) -> bool:
    """ELU with α = 1, Euclidean distances and |z| of a complex z have none; an RNN may have."""
    name = name_of(node)
    if name.startswith("Abs"):
        return not node._saved_self.is_complex()
    if name.startswith("CudnnRnn"):
        return int(node._saved_mode) == 0
    if name.startswith("Elu"):
        return float(node._saved_alpha) != 1.0
    if name.startswith(("Cdist", "Pdist")):
        return float(node._saved_p) != 2.0
    if name.startswith("LinalgVectorNorm"):
        return abs(float(node._saved_ord)) in (0.0, 1.0, inf)
    if name.startswith("GridSampler"):  # a computed grid moves between pixels
        return node.next_functions[1][0] is not None and int(node._saved_interpolation_mode) != 2
    return bool(_KINKED.match(name))


def _normalised(x: Tensor, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Tensor:
    """x over its norm; over eps where this is larger."""
    return x / x.norm(p, dim, keepdim=True).clamp_min(eps)


NOT_THE_SAME = (
    "expected the same operations in every pass, got other operations near x; finite differences "
    "cannot follow a model that branches on its values: pass mode='reverse'"
)


class Pieces(TorchFunctionMode):
    """Records the pieces in the first pass inside it, and repeats them in every other."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[tuple[Any, ...]] = []
        self.left: deque[tuple[Any, ...]] | None = None
        self.hooks = saved_tensor_hooks()

    def repeat(self) -> "Pieces":
        """Play back what was kept, from the beginning."""
        self.left = deque(self.recorded)
        return self

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The function, or its piece."""
        kwargs = dict(kwargs or {})
        if func is F.normalize and kwargs.pop("out", None) is None:
            with self:  # torch hides what is inside
                return _normalised(*args, **kwargs)
        if func not in _HELD:
            return self.decision(func, func(*args, **kwargs), args, kwargs)
        if not args:
            args = (kwargs.pop("input"),)
        self.require_held()
        if func not in _POOLS and not args[0].is_floating_point():
            return func(*args, **kwargs)  # |z| of a complex z is smooth; integers are constant
        if func in _PIECEWISE_LINEAR:
            return self.linear(func, *args, **kwargs)
        if func in _CLAMPS:
            return self.clamped(func, *args, **kwargs)
        if func in _POOLS and kwargs.get("return_indices"):
            return func(*args, **kwargs)
        if func in _POOLS:
            return self.pooled(*_POOLS[func], *args, **kwargs)
        if func is F.prelu:
            return self.prelu(*args, **kwargs)
        return args[0] * self.linear(F.hardsigmoid, args[0])  # hardswish

    def require_held(self) -> None:
        """Raise where a pass is run again without this mode, or under a transform."""
        if saved_tensor_hooks() != self.hooks:
            raise ValueError(
                "expected no ReLU or the like in a checkpointed block, got hooks on saved tensors: "
                "the backward pass computes the block again, and finite differences cannot fix the "
                "linear pieces of its ReLUs there; pass mode='reverse'"
            )

    def require_no_transform(self) -> None:
        """Raise for a comparison under a transform, whose outcome has no values yet."""
        if in_transform():
            raise ValueError(
                "expected no comparison inside a transform of torch.func, got one, which finite "
                "differences cannot hold as it is at x; pass mode='reverse'"
            )

    def decision(self, func: Any, out: Any, args: Any, kwargs: Any) -> Any:
        """The result of a function; comparisons and the like as at x."""
        if not decisions.decided(func, out, (*args, *kwargs.values())):
            return out
        self.require_held()
        self.require_no_transform()
        if self.left is None:
            self.recorded.append((decisions.to_keep(func, out),))
            return out
        (kept,) = self.taken(out if isinstance(out, Tensor) else None)
        return decisions.held(func, out, kept)

    def linear(self, func: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """c·x + d."""
        if self.left is None:
            with torch.enable_grad():
                leaf = x.detach().clone().requires_grad_()
                y = func(leaf.clone(), *args, **kwargs)
                (c,) = torch.autograd.grad(y.sum(), leaf)
            self.recorded.append((c, y.detach() - c * leaf.detach()))
            return func(x, *args, **kwargs)
        c, d = self.taken(x)
        y = c * x + d
        return x.copy_(y) if func in _IN_PLACE or kwargs.get("inplace") else y

    def clamped(self, func: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """x, or a bound, which may be trained."""
        y, bounds = func(x, *args, **kwargs), dict(zip(_CLAMPS[func], args, strict=False)) | kwargs
        low, high = bounds.get("min", -inf), bounds.get("max", inf)
        low, high = -inf if low is None else low, inf if high is None else high
        if self.left is None:
            self.require_no_transform()
            below = x < low
            self.recorded.append((below.expand_as(y), torch.where(below, low, x) > high))
            return y
        below, above = self.taken(y)
        return torch.where(above, high, torch.where(below, low, x))

    def pooled(
        self, pool: Callable[..., Any], axes: int, x: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """The entries that were the largest."""
        if self.left is None:
            largest, where = pool(x, *args, **kwargs | {"return_indices": True})
            self.recorded.append((where,))
            return cast("Tensor", largest)
        (where,) = self.taken(None)
        first = x.ndim - axes
        return x.flatten(first).gather(first, where.flatten(first)).view(where.shape)

    def prelu(self, x: Tensor, weight: Tensor) -> Tensor:
        """x, or weight · x."""
        if self.left is None:
            self.recorded.append((x > 0,))
            return F.prelu(x, weight)
        channels = weight if weight.numel() == 1 else weight.reshape(-1, *[1] * (x.ndim - 2))
        return torch.where(self.taken(x)[0], x, channels * x)

    def taken(self, x: Tensor | None) -> tuple[Any, ...]:
        """The next piece, of the shape of x."""
        if not self.left or (x is not None and self.left[0][0].shape != x.shape):
            raise ValueError(NOT_THE_SAME)
        return self.left.popleft()
