"""A trial of finite differences: is the gradient the same for a step of twice the length?

Where a derivative jumps between x − hu and x + hu, or bends within the step, the difference of the
logits may be right, and the gradient of this difference another one. It then changes with h.
"""

import torch
from torch import Tensor

from gradreg_torch._engine import graph
from gradreg_torch._engine.float64 import in_float64
from gradreg_torch._engine.inputs import Named
from gradreg_torch._engine.sums import real

_LIMIT = 0.1  # on 175 networks in float32 the gradient was then off by 4 to 64 %


def require_same(
    r_J_v: Tensor, longer: Tensor, rounding: Tensor, inputs: Named, instead: str
) -> None:
    """Raise ValueError unless two differences (n,) have the same gradient in the parameters.

    `rounding` (n,) is ε times a term of the difference, whose gradient is the size of rounding: a
    gradient that is 0 consists of rounding alone.
    """
    own = set(map(id, inputs.values()))
    leaves = [n.variable for n in graph.nodes(r_J_v) if type(n).__name__ == graph.LEAF]
    leaves = [leaf for leaf in leaves if id(leaf) not in own and not leaf._backward_hooks]
    if not leaves:
        return
    gradient, other, noise = (_gradient(t, leaves) for t in (r_J_v, longer, rounding))
    off, size = float((gradient - other).norm()), float(gradient.norm())
    if off > _LIMIT * size + float(noise.norm()):
        raise ValueError(
            "expected the same gradient for a step of twice the length, got one that is off by "
            f"{off / size if size else 1:.0%}: a derivative jumps near x, as at the largest of "
            "several numbers, or the model bends too much for the step (steep layers; inputs far "
            f"from zero); {instead}, or pass inputs of mean 0 and variance 1"
        )


def _gradient(t: Tensor, leaves: list[Tensor]) -> Tensor:
    """The gradient of the sum, in float64; in 16 bits, as under autocast, a difference drowns."""
    with torch.autocast(t.device.type, enabled=False):
        found = torch.autograd.grad(
            t.sum(), leaves, retain_graph=True, allow_unused=True, materialize_grads=True
        )
    return torch.cat([in_float64(real(g).flatten()) for g in found])
