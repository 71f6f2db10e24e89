"""Forward mode: J v by Jacobian-vector products, the mirror image. Exact.

With probes V of the *inputs*, E[v vᵀ] = I_i, ‖JV‖²_F has the mean ‖J‖²_F too, and for gaussian
probes the same variance. No double backward is needed.
"""

from contextlib import nullcontext
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor

from gradreg_torch._engine import distributed, forward_trial, graph, process
from gradreg_torch._engine.call import Call
from gradreg_torch._engine.contraction import Contraction, Side
from gradreg_torch._engine.inputs import Named, first_of, unflat, width
from gradreg_torch._engine.model import Model
from gradreg_torch._engine.parts import Buffers
from gradreg_torch._engine.random import random_state, replayed
from gradreg_torch._engine.reverse import sum_of_squares
from gradreg_torch._engine.trial import can_be_read


@dataclass(frozen=True)
class Forward:
    """A pass that waits for its columns: one pass gives the output and J v.

    Parameters
    ----------
    model : Model
        What runs.
    call : Call
        What was asked for.
    """

    last: ClassVar[bool] = False  # products have all derivatives

    model: Model
    call: Call

    def contract(self, R: Contraction) -> tuple[Tensor, Tensor, bool]:
        """‖JV‖²_F (or ‖SJV‖²_F) of every example, (n,), the output, and whether values are read."""
        inputs = self.call.inputs
        side = Side(first_of(inputs), width(inputs), self.call.reads)
        output, J_V, reads = self.jvp(R.columns(side))
        squares = sum_of_squares(R.factor(output)(J_V), examples=1)
        return squares / J_V.shape[0] if R.averaged else squares, output, reads

    def jvp(self, V: Tensor) -> tuple[Tensor, Tensor, bool]:
        """The output, J v (q, n, k) for columns V[n, i, q], and whether values are read.

        `chunk_size` columns are multiplied in one pass.

        Passes after the first repeat its dropout masks and move no buffers.
        """
        x, columns = first_of(self.call.inputs), V.permute(2, 0, 1)
        random = None if graph.is_functional() else random_state(x)
        q = len(columns)
        first, *others = torch.split(columns, min(self.call.chunk_size or q, q))
        output, J_V, moved = self.one_pass(first)
        products = [J_V]
        for chunk in others:  # before buffers move
            with nullcontext() if random is None else replayed(random, x):
                products.append(self.one_pass(chunk)[1])
        output, call = self.call.accept(output, moved), self.call
        if not graph.is_functional():
            found = graph.nodes(output) + graph.nodes(J_V)
            graph.require_right_forward_mode(graph.names(found))
            gathers = call.parallel and distributed.sharded(self.model.parts)
            if random is not None and can_be_read(output) and not gathers:
                tried = forward_trial.require_right(self.one_pass, self.model, call, found, random)
                call = call.after(output) if tried else call
        return output, torch.cat(products), call.reads

    def one_pass(
        self, columns: Tensor, inputs: Named | None = None
    ) -> tuple[Tensor, Tensor, Buffers]:
        """Output, J v (q, n, k) for columns (q, n, i), and buffers that moved."""
        inputs = self.call.inputs if inputs is None else inputs
        tangents = tuple(t.to(first_of(inputs).dtype) for t in unflat(columns, inputs))
        run = partial(self.model.pure, list(inputs))

        def product(*v: Tensor) -> Any:
            return torch.func.jvp(run, tuple(inputs.values()), v, has_aux=True)

        with process.one_forward_mode():
            process.require_no_forward_mode()  # before `vmap`, inside which nothing shows it
            try:
                if columns.shape[0] == 1:
                    output, J_v, moved = product(*(t[0] for t in tangents))
                else:
                    # Only J v differs from column to column; inside another vmap torch wants axes.
                    within = graph.in_vmap()
                    axes: Any = 0 if within else (None, 0, None)
                    batched = torch.func.vmap(product, out_dims=axes, randomness="same")
                    output, J_v, moved = batched(*tangents)
                    if within:
                        output, moved = output[0], {name: b[0] for name, b in moved.items()}
            except (RuntimeError, NotImplementedError) as error:
                raise ValueError(
                    "expected a model that torch.func.jvp can run, got "
                    f"{str(error).splitlines()[0]}; pass mode='auto'"
                ) from error
        return output, J_v.reshape(columns.shape[0], columns.shape[1], -1), moved
