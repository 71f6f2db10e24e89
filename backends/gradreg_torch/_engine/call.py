"""What a user may pass to a penalty, checked in one place before anything runs."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeAlias, TypedDict

import torch
from torch import Tensor

from gradreg_torch._engine import batch_norm, checks
from gradreg_torch._engine.contraction import Contraction
from gradreg_torch._engine.inputs import (
    Inputs,
    Named,
    Wrt,
    by_name,
    computed,
    first_of,
    own,
    select,
)
from gradreg_torch._engine.model import Buffers, Model

MODES = ("auto", "reverse", "forward", "finite_difference", "one_sided_difference")
ModelOrLogits: TypeAlias = Callable[..., Tensor] | Tensor


class Options(TypedDict, total=False):
    """Options of every penalty on the Jacobian, documented in `gradreg_torch.frobreg`."""

    mode: str
    batchnorm: str
    wrt: Wrt
    reduction: str
    chunk_size: int | None
    check_values: bool | None


@dataclass(frozen=True)
class Call:
    """A checked call: what to run, on which leaves, and what was asked for.

    Parameters
    ----------
    model : Model or Tensor
        The user's model, or the logits that it returned.
    inputs : dict of Tensors (n, …)
        The leaves with respect to which J is taken, by name or position.
    mode, reduction
        As asked for.
    policy : str
        What happens to batch norm in training mode, see `batch_norm`.
    create_graph : bool
        Whether the penalty will be differentiated: grad mode at the call.
    reads : bool
        Whether checks that read values run (by default not on an accelerator: they would wait).
    update_statistics : bool
        Whether running statistics move: once a step, in the pass that the loss is taken from.
    """

    model: Model | Tensor
    inputs: Named
    mode: str
    reduction: str
    policy: str
    create_graph: bool
    reads: bool
    update_statistics: bool

    def accept(self, output: Any, moved: Buffers | None = None) -> Tensor:
        """The model's output, checked; buffers that moved in a pure pass are kept."""
        checks.output(output, first_of(self.inputs).shape[0], grad=True)
        batch_norm.require_no_coupling(output, self.policy)
        function = None if isinstance(self.model, Tensor) else self.model.function
        if self.reads:
            checks.finite(self.inputs, output, function)
        if moved and self.update_statistics and not isinstance(self.model, Tensor):
            self.model.keep(moved)
        checked: Tensor = output
        return checked


def checked(
    model: ModelOrLogits,
    x: Inputs,
    R: Contraction,
    update_statistics: bool = False,
    *,
    mode: str = "auto",
    batchnorm: str = "batch",
    wrt: Wrt = None,
    reduction: str = "mean",
    chunk_size: int | None = None,
    check_values: bool | None = None,
) -> Call:
    """The call, or an error that says what to pass instead."""
    checks.choice("mode", mode, MODES)
    checks.choice("batchnorm", batchnorm, batch_norm.POLICIES)
    checks.choice("reduction", reduction, ("none", "mean", "sum"))
    if chunk_size is not None:
        checks.count("chunk_size", chunk_size)
    checks.mode_of(R, mode)
    checks.not_in_inference_mode()
    create_graph, of_logits = torch.is_grad_enabled(), isinstance(model, Tensor)
    inputs = select(by_name(x), wrt)
    checks.inputs(inputs, mode)
    policy = batch_norm.policy_for(batchnorm, same_for_all=R.same_for_all, of_logits=of_logits)
    run: Model | Tensor
    if isinstance(model, Tensor):
        checks.graph_reaches(model, inputs)
        checks.mode_of_logits(mode)
        run = model
    else:
        checks.is_callable(model)
        if create_graph and not any(computed(t) for t in inputs.values()):
            checks.trainable(model)
        checks.mode_that_compiles(mode)
        with torch.enable_grad():
            inputs = {name: own(tensor) for name, tensor in inputs.items()}
        run = Model(model, x, policy)
    reads = reads_values(inputs, check_values)
    return Call(run, inputs, mode, reduction, policy, create_graph, reads, update_statistics)


def reads_values(inputs: Named, check_values: bool | None) -> bool:
    """Whether checks read values: by default if all inputs are on the CPU (no synchronisation)."""
    if torch.compiler.is_compiling():
        return False
    if check_values is None:
        return all(t.device.type == "cpu" for t in inputs.values())
    return check_values
