"""Forward mode: J v by Jacobian-vector products, the mirror image. Exact.

With probes V of the *inputs*, E[v vᵀ] = I_i, ‖JV‖²_F has the mean ‖J‖²_F too, and for gaussian
probes the same variance. No double backward is needed.
"""

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import Any, cast

import torch
from torch import Tensor

from gradreg_torch import graph
from gradreg_torch.forward_pass import ForwardPass
from gradreg_torch.inputs import unflat
from gradreg_torch.running import Buffers, replayed
from gradreg_torch.sums import sum_of_squares


def contract(f: ForwardPass, V: Tensor, chunk_size: int | None) -> Tensor:
    """‖JV‖²_F of every example, (n,); V[n, i, q]."""
    return sum_of_squares(jvp(f, V, chunk_size))


def jvp(f: ForwardPass, V: Tensor, chunk_size: int | None) -> Tensor:
    """J v for every column of V[n, i, q]: (q, n, k), `chunk_size` columns a pass.

    The first pass gives the logits too; others repeat its dropout masks and move nothing.
    """
    columns = V.permute(2, 0, 1)
    f.remember()
    first, *others = torch.split(columns, columns.shape[0] if chunk_size is None else chunk_size)
    output, J_V, moved = one_pass(f, first)
    f.accept(output, moved)
    if not torch.compiler.is_compiling():
        graph.require_right_forward_mode(graph.names_of(graph.nodes(output) + graph.nodes(J_V)))
    products = [J_V]
    for chunk in others:
        with nullcontext() if f.random is None else replayed(f.random, f.example):
            products.append(one_pass(f, chunk)[1])
    return torch.cat(products)


def one_pass(f: ForwardPass, columns: Tensor) -> tuple[Tensor, Tensor, Buffers]:
    """Output, J v (q, n, k) for columns (q, n, i), and buffers that moved."""
    assert f.model is not None
    tangents = tuple(t.to(f.example.dtype) for t in unflat(columns, f.inputs))
    product = partial(at, partial(f.model.pure, list(f.inputs)), tuple(f.inputs.values()))
    try:
        if columns.shape[0] == 1:
            output, J_v, moved = product(*(t[0] for t in tangents))
        else:
            own: Any = (None, 0, None)  # only J v differs from column to column
            batched = torch.func.vmap(product, out_dims=own, randomness="same")
            output, J_v, moved = batched(*tangents)
    except (RuntimeError, NotImplementedError) as error:
        raise ValueError(
            f"expected a model that torch.func.jvp can run, got {str(error).splitlines()[0]}; "
            "pass mode='auto'"
        ) from error
    return output, J_v.reshape(columns.shape[0], columns.shape[1], -1), moved


def at(
    run: Callable[..., Any], x: tuple[Tensor, ...], *v: Tensor
) -> tuple[Tensor, Tensor, Buffers]:
    """Output, J v and moved buffers of a pure run at x, for one v."""
    return cast("tuple[Tensor, Tensor, Buffers]", torch.func.jvp(run, x, v, has_aux=True))
