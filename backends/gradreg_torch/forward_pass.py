"""One forward pass, owned by the penalty: logits (n, m) and the inputs they are differentiated in.

Every penalty starts here, so what a user may pass, and what is refused, is written once.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from typing import Any, TypeAlias

import torch
from torch import Tensor

from gradreg_torch import checks, distributed, graph
from gradreg_torch.inputs import Inputs, Named, Wrt, by_name, computed, own, select
from gradreg_torch.kinks import kinks
from gradreg_torch.modes import resolve
from gradreg_torch.normalisation import LOGITS, OWN_R, REFUSING, couples
from gradreg_torch.running import (
    Buffers,
    Model,
    Random,
    copied,
    math_attention,
    random_state,
    visible,
)

__all__ = ["ForwardPass", "Inputs", "ModelOrLogits", "Wrt", "forward_pass"]


@dataclass
class ForwardPass:
    """What products with J need; the model runs when the logits are first asked for.

    Parameters
    ----------
    model : Model or None
        None in the form (logits, x).
    inputs : dict of Tensors (n, …)
        Those with respect to which J is taken, by name or position.
    mode : {"reverse", "forward", "finite_difference", "auto"}
        How products are computed; "auto" until the logits are there.
    create_graph : bool
        Whether the penalty will be differentiated: grad mode at the call.
    check_values : bool
        Whether checks that must read values run (never by default on an accelerator: they wait).
    update_statistics : bool
        Whether running statistics move: once a step, in the pass that the loss is taken from.
    """

    model: Model | None
    inputs: Named
    mode: str
    create_graph: bool
    check_values: bool
    update_statistics: bool
    evaluated: Tensor | None = None
    vjp: Callable[[Tensor], tuple[Tensor, ...]] | None = None
    # Whether batch norm couples the examples, and whether there are ReLUs or the like.
    coupled: bool = False
    kinked: bool = False
    # As they were before the pass, for passes after it.
    buffers: Buffers | None = field(default=None, repr=False)
    random: Random | None = field(default=None, repr=False)

    @property
    def output(self) -> Tensor:
        """As the model returned it."""
        if self.evaluated is None:
            self.evaluate()
        assert self.evaluated is not None
        return self.evaluated

    @property
    def logits(self) -> Tensor:
        """z (n, m): the output with all axes but the batch flattened."""
        z = self.output
        return z if z.ndim == 2 else z.reshape(z.shape[0], -1)

    @property
    def example(self) -> Tensor:
        """An input, for batch size, dtype and device before there are logits."""
        return next(iter(self.inputs.values()))

    def same_for_all(self) -> None:
        """R is one for all examples: none may see another, or their derivatives cancel."""
        if self.model is None:
            require_no_coupling(self.output, OWN_R)
        elif self.model.batchnorm == "batch":
            self.model = replace(self.model, batchnorm=OWN_R)

    def evaluate(self) -> None:
        """Run the model in reverse mode, eager or inside `torch.compile`."""
        assert self.model is not None
        self.remember()
        if torch.compiler.is_compiling():
            return self.evaluate_functionally()
        # Copies, as a model may work in place on what it is given.
        copies = {name: tensor.clone() for name, tensor in self.inputs.items()}
        twice = self.create_graph and self.mode in ("reverse", "auto")
        with visible(self.model.function), math_attention() if twice else nullcontext():
            own = None if self.update_statistics else copied(self.buffers)
            self.accept(self.model(copies, own))
        if self.create_graph:
            found = graph.nodes(self.output)
            self.mode = resolve(self.mode, graph.names_of(found))
            self.coupled = graph.couples_examples(found)
            self.kinked = bool(kinks(found))
        return None

    def evaluate_functionally(self) -> None:
        """By `torch.func.vjp`, which compiles where a double backward does not."""
        assert self.model is not None
        run = partial(self.model.pure, list(self.inputs))
        inputs = self.inputs.values()
        output, self.vjp, moved = torch.func.vjp(run, *inputs, has_aux=True)  # type: ignore[misc]
        self.mode = "reverse"
        self.accept(output, moved)

    def remember(self) -> None:
        """Buffers and random state before the pass, where passes may follow."""
        assert self.model is not None
        self.buffers = self.model.buffers()
        if self.mode != "reverse" and not torch.compiler.is_compiling():
            self.random = random_state(self.example)

    def accept(self, output: Any, moved: Buffers | None = None, *, grad: bool = True) -> None:
        """The output of the model, checked; buffers that moved in a pure pass."""
        checks.output(output, self.example.shape[0], grad=grad)
        if self.model is not None:
            require_no_coupling(output, self.model.batchnorm)
        if self.check_values:
            checks.finite(self.inputs, output, self.model and self.model.function)
        if moved and self.update_statistics and self.model is not None:
            self.model.keep(moved)
        self.evaluated = output


def require_no_coupling(output: Tensor, policy: str) -> None:
    """For policies that refuse it: no batch norm with the statistics of the batch."""
    hidden = torch.compiler.is_compiling()  # refused by the formulas there
    if policy in REFUSING and not hidden and graph.couples_examples(graph.nodes(output)):
        raise ValueError(couples(policy))


def on_cpu(inputs: Named) -> bool:
    """Where reading values makes nobody wait."""
    return all(t.device.type == "cpu" for t in inputs.values())


ModelOrLogits: TypeAlias = Callable[..., Tensor] | Tensor | ForwardPass


@contextmanager
def forward_pass(
    model: ModelOrLogits,
    x: Inputs,
    wrt: Wrt,
    check_values: bool | None,
    *,
    mode: str = "auto",
    batchnorm: str = "batch",
    update_statistics: bool = False,
) -> Iterator[ForwardPass]:
    """The model on its own leaf (or the logits as they are), with grad mode on inside."""
    checks.choice("mode", mode, checks.MODES)
    checks.choice("batchnorm", batchnorm, checks.BATCHNORM)
    if isinstance(model, ForwardPass):
        yield model
        return
    checks.not_in_inference_mode()
    create_graph = torch.is_grad_enabled()
    inputs = select(by_name(x), wrt)
    for name, tensor in inputs.items():
        checks.differentiable_input(name, tensor)
    checks.one_batch(inputs)
    reads = on_cpu(inputs) if check_values is None else check_values
    reads = reads and not torch.compiler.is_compiling()
    with torch.enable_grad():
        if isinstance(model, Tensor):
            checks.graph_reaches(model, inputs)
            checks.mode_of_logits(mode)
            f = ForwardPass(None, inputs, "reverse", create_graph, reads, False)
            f.accept(model)
            require_no_coupling(model, LOGITS if batchnorm == "eval" else batchnorm)
            if create_graph and not torch.compiler.is_compiling():
                found = graph.nodes(model)
                distributed.allowed_logits(found)
                resolve("reverse", graph.names_of(found))
        else:
            checks.is_callable(model)
            if create_graph and not any(computed(t) for t in inputs.values()):
                checks.trainable(model)
            checks.mode_that_compiles(mode)
            mode = distributed.allowed(model, mode)
            inputs = {name: own(tensor) for name, tensor in inputs.items()}
            run = Model(model, x, batchnorm)
            f = ForwardPass(run, inputs, mode, create_graph, reads, update_statistics)
        yield f
