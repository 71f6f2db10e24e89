"""Is the backward pass linear: is Jᵀ(c (r − 2 s)) = c (Jᵀr − 2 Jᵀs) for a large negative c?

A hook or a function that clips gradients leaves small ones as they are, and may have no effect on
the columns of a trial. One that keeps the positive gradients only is linear for c > 0. One that
keeps the largest gradients of a layer is linear in every multiple of r, but not in a sum of
columns with different largest gradients. r − 2 s shows this more often than r + s does.

Powers of two are exact, but for overflow. A sum is rounded, and where terms of Jᵀr cancel, the
product can be rounding alone: see `euler`. Jᵀr and 2 Jᵀs may cancel, too, so that what they are
off by is a larger part of their sum: it is compared with both.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from gradreg_torch._engine import graph
from gradreg_torch._engine.columns import differ, distance, norm
from gradreg_torch._engine.euler import MOST, Products
from gradreg_torch._engine.float64 import in_float64

_C = -1024.0
_FACTORS = 0.7, 1.3, 3.0
_LEAST = 0.01  # a solver in a backward pass stops at a tolerance


def require_linear(
    forth: Callable[[Tensor], Products],
    first: tuple[Tensor, Products],
    second: tuple[Tensor, Products],
    dtypes: set[torch.dtype],
    functions: Iterable[str] = (),
) -> None:
    """Raise ValueError where the backward pass is not linear.

    Parameters
    ----------
    forth : callable
        r ↦ Jᵀr.
    first, second : (Tensor, tuple of Tensors)
        Two columns, each with its product.
    dtypes : set of dtypes
        Those that the pass computes in. float16 is not tried: it overflows, and loses small
        gradients.
    functions : iterable of str
        Names of `torch.autograd.Function`s in the pass, for the message.
    """
    if torch.float16 in dtypes:
        return
    (r, at_r), (s, at_s) = first, second
    expected = [
        _C * (in_float64(v.detach()) - 2 * in_float64(w.detach()))
        for v, w in zip(at_r, at_s, strict=True)
    ]
    limit = max(_LEAST, graph.tolerance(dtypes))
    # Where the square of a product underflows, the product may have lost digits.
    floor = max(torch.finfo(dtype).tiny for dtype in dtypes) ** 0.5
    got, terms = forth(_C * (r - 2 * s)), -_C * float(torch.hypot(norm(at_r), 2 * norm(at_s)))
    if not differ(expected, got, limit, max(floor, terms)):
        return
    of_r = differ([_C * in_float64(v.detach()) for v in at_r], forth(_C * r), limit, floor)
    if of_r or distance(expected, got) > -_C * MOST * _rounding(forth, first, second):
        raise ValueError(
            "expected a backward pass that is linear in the gradient that it is given, got one "
            "that clips, normalises, rectifies, rounds or selects gradients "
            f"({', '.join(functions) or 'in a hook, say'}): the penalty would be computed for "
            "another function; leave this out of the model that is penalised, and change the "
            "gradients of parameters after backward()"
        )


def _rounding(forth: Callable[[Tensor], Products], *terms: tuple[Tensor, Products]) -> Tensor:
    """The largest ‖Jᵀ(c r) / c − Jᵀr‖ for factors c that are no powers of two."""
    return torch.stack(
        [
            distance([v / c for v in forth(c * r)], products)
            for c in _FACTORS
            for r, products in terms
        ]
    ).max()
