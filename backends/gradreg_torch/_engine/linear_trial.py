"""Is the backward pass linear: is Jᵀ(c r) = c Jᵀr for a large negative c?

A hook or a function that clips or normalises gradients leaves small ones as they are, and may have
no effect on the column of a trial. One that keeps the positive gradients only is linear for c > 0.
A power of two is exact, but for overflow.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from gradreg_torch._engine import graph
from gradreg_torch._engine.columns import differ

_C = -1024.0
_LEAST = 0.01  # a solver in a backward pass stops at a tolerance


def require_linear(
    forth: Callable[[Tensor], tuple[Tensor, ...]],
    r: Tensor,
    products: tuple[Tensor, ...],
    dtypes: set[torch.dtype],
    functions: Iterable[str] = (),
) -> None:
    """Raise ValueError where the backward pass is not linear.

    Parameters
    ----------
    forth : callable
        r ↦ Jᵀr.
    r, products : Tensor, tuple of Tensors
        A column, and Jᵀr.
    dtypes : set of dtypes
        Those that the pass computes in. float16 is not tried: it overflows, and loses small
        gradients.
    functions : iterable of str
        Names of `torch.autograd.Function`s in the pass, for the message.
    """
    if torch.float16 in dtypes:
        return
    multiple = [_C * v.detach().double() for v in products]
    limit = max(_LEAST, graph.tolerance(dtypes))
    # Where the square of a product underflows, the product may have lost digits.
    floor = max(torch.finfo(dtype).tiny for dtype in dtypes) ** 0.5
    if differ(multiple, forth(_C * r), limit, floor):
        raise ValueError(
            "expected a backward pass that is linear in the gradient that it is given, got one "
            "that clips, normalises or rectifies gradients "
            f"({', '.join(functions) or 'in a hook, say'}): the penalty would be computed for "
            "another function; leave this out of the model that is penalised, and clip the "
            "gradients of parameters after backward()"
        )
