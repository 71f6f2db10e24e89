"""Are products of several columns at once those of each column alone?

Through group norm, with a graph, torch 2.13 computes products of several columns wrongly. Mostly
torch raises an error about sizes. Where batch, groups and entries of a group have sizes that fit,
torch returns wrong numbers.
"""

import torch

from gradreg_torch._engine.columns import differ
from gradreg_torch._engine.reverse import Reverse


def wrong(at_x: Reverse, r: torch.Tensor, limit: float) -> bool:
    """Whether two columns at once, r and another, have other products than each alone.

    Parameters
    ----------
    at_x : Reverse
        The pass.
    r : Tensor
        A column, like the output.
    limit : float
        The largest difference, as a part of the products.
    """
    rs = torch.stack([r, r.flip(-1)])
    try:
        together = at_x.vjp(rs, create_graph=True, batched=True)
    except torch.OutOfMemoryError:
        raise
    except RuntimeError:
        return True
    apart = zip(*(at_x.vjp(one, create_graph=True) for one in rs), strict=True)
    return any(
        differ([both], [torch.stack(alone)], limit)
        for both, alone in zip(together, apart, strict=True)
    )
