"""Kinks, held open for finite differences: on which side each unit is, as at x, also near x.

A ReLU that switches between x − hu and x + hu makes ∂z/∂θ jump, and a jump divided by 2h swamps the
gradient: with kinks crossed, float32 differences were seen off by a factor of 10 to 80. So a pass
at x itself records every piecewise linear function as c·x + d on its piece, every max pool by the
indices it took, and the passes beside it repeat them: the same network, linear where it was linear.
"""

import re
from collections import deque
from collections.abc import Callable
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.overrides import TorchFunctionMode

PIECEWISE_LINEAR: set[Callable[..., Any]] = {
    *(F.relu, F.relu_, torch.relu, torch.relu_, Tensor.relu, Tensor.relu_),
    *(F.relu6, F.hardtanh, F.leaky_relu, F.threshold, F.hardsigmoid, F.softshrink),
    *(torch.clamp, Tensor.clamp, torch.abs, Tensor.abs),
}
IN_PLACE = {F.relu_, torch.relu_, Tensor.relu_}
# Each with the number of axes it pools over.
POOLS: dict[Callable[..., Any], tuple[Callable[..., Any], int]] = {
    torch.max_pool1d: (F.max_pool1d, 1),
    torch.max_pool2d: (F.max_pool2d, 2),
    torch.max_pool3d: (F.max_pool3d, 3),
    F.max_pool1d: (F.max_pool1d, 1),
    F.max_pool2d: (F.max_pool2d, 2),
    F.max_pool3d: (F.max_pool3d, 3),
    F.adaptive_max_pool1d: (F.adaptive_max_pool1d, 1),
    F.adaptive_max_pool2d: (F.adaptive_max_pool2d, 2),
}
# Nodes of functions with kinks; ELU and the like are told apart in `has_kink`.
KINKED = re.compile(
    "(Relu|LeakyRelu|Threshold|Hardtanh|Hardsigmoid|Hardswish|PreluKernel|RreluWithNoise|Softshrink"
    "|Hardshrink|Clamp|ClampMin|ClampMax|Abs|Max|Min|Maximum|Minimum|Amax|Amin|Aminmax|Sort|Topk"
    "|Kthvalue|Median|Nanmedian|Cummax|Cummin|Mode|(Adaptive|Fractional)?MaxPool.*)Backward"
)


def kinks(found: list[Any]) -> set[str]:
    """Names of the nodes, of these, where a derivative jumps."""
    return {node.name() for node in found if has_kink(node)}


def has_kink(node: Any) -> bool:
    """ELU with α = 1 and Euclidean distances have none; a recurrent layer may be made of ReLUs."""
    name = node.name()
    if name.startswith("CudnnRnn"):
        return int(node._saved_mode) == 0
    if name.startswith("Elu"):
        return float(node._saved_alpha) != 1.0
    if name.startswith(("Cdist", "Pdist")):
        return float(node._saved_p) != 2.0
    return bool(KINKED.match(name))


class Pieces(TorchFunctionMode):
    """Records the pieces in the first pass inside it, and repeats them in every other."""

    def __init__(self) -> None:
        super().__init__()
        self.recorded: list[tuple[Tensor, ...]] = []
        self.left: deque[tuple[Tensor, ...]] | None = None

    def repeat(self) -> "Pieces":
        """From now on, from the beginning."""
        self.left = deque(self.recorded)
        return self

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The function, or its piece."""
        kwargs = kwargs or {}
        if func in PIECEWISE_LINEAR:
            return self.linear(func, *args, **kwargs)
        if func in POOLS and not kwargs.get("return_indices"):
            return self.pooled(*POOLS[func], *args, **kwargs)
        if func is F.prelu:
            return self.prelu(*args, **kwargs)
        if func is F.hardswish:
            x = args[0]
            return x * self.linear(F.hardsigmoid, x)
        return func(*args, **kwargs)

    def linear(self, func: Callable[..., Tensor], x: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        """c·x + d."""
        if self.left is None:
            with torch.enable_grad():
                leaf = x.detach().clone().requires_grad_()
                y = func(leaf.clone(), *args, **kwargs)
                (c,) = torch.autograd.grad(y.sum(), leaf)
            self.recorded.append((c, y.detach() - c * leaf.detach()))
            return func(x, *args, **kwargs)
        c, d = self.left.popleft()
        y = c * x + d
        return x.copy_(y) if func in IN_PLACE or kwargs.get("inplace") else y

    def pooled(
        self, pool: Callable[..., Any], axes: int, x: Tensor, *args: Any, **kwargs: Any
    ) -> Tensor:
        """The entries that were the largest."""
        if self.left is None:
            largest, where = pool(x, *args, **kwargs | {"return_indices": True})
            self.recorded.append((where,))
            return cast("Tensor", largest)
        (where,) = self.left.popleft()
        first = x.ndim - axes
        return x.flatten(first).gather(first, where.flatten(first)).view(where.shape)

    def prelu(self, x: Tensor, weight: Tensor) -> Tensor:
        """x, or weight · x."""
        if self.left is None:
            self.recorded.append((x > 0,))
            return F.prelu(x, weight)
        channels = weight if weight.numel() == 1 else weight.reshape(-1, *[1] * (x.ndim - 2))
        return torch.where(self.left.popleft()[0], x, channels * x)
