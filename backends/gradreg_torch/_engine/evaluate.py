"""One penalty: the call checked, the pass made, its products reduced."""

from typing import NamedTuple, Unpack

import torch
from torch import Tensor

from gradreg_torch._engine import checks, distributed
from gradreg_torch._engine.call import ModelOrLogits, Options, checked
from gradreg_torch._engine.contraction import Contraction
from gradreg_torch._engine.inputs import Inputs
from gradreg_torch._engine.linearised import linearise
from gradreg_torch._engine.sums import reduce


class Evaluated(NamedTuple):
    """A penalty, and the output of the pass that it was computed in."""

    penalty: Tensor
    output: Tensor


def evaluate(
    model: ModelOrLogits,
    x: Inputs,
    R: Contraction,
    *,
    update_statistics: bool = False,
    **options: Unpack[Options],
) -> Evaluated:
    """‖JᵀR‖²_F of a model at x, reduced over the batch, and the model's output."""
    checks.option_names("a penalty", options, Options.__annotations__)
    call = checked(model, x, R, update_statistics, **options)
    with torch.enable_grad():
        values, output = linearise(call).contract(R, options.get("chunk_size"))
        if call.reads:
            checks.finite_value(values)
        if not isinstance(call.model, Tensor):
            values = distributed.reaching_all(call.model.function, values)
    penalty = reduce(values, call.reduction)
    return Evaluated(penalty if call.create_graph else penalty.detach(), output)
