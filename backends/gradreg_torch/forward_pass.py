"""One forward pass, owned by the penalty: logits (n, m) and the inputs they are differentiated in.

Every penalty starts here, so what a user may pass, and what is refused, is written once.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn

from gradreg_torch import checks

Inputs: TypeAlias = Tensor | Sequence[Tensor] | Mapping[str, Tensor]
ModelOrLogits: TypeAlias = Callable[..., Tensor] | Tensor
Wrt: TypeAlias = str | int | Sequence[str] | Sequence[int] | None


@dataclass(frozen=True)
class ForwardPass:
    """What vector-Jacobian products need.

    Parameters
    ----------
    output : Tensor (n, …)
        As the model returned it.
    inputs : dict of Tensors (n, …)
        Those with respect to which J is taken, by name or position.
    create_graph : bool
        Whether the penalty will be differentiated: grad mode at the call.
    check_values : bool
        Whether checks that must read values run (never by default on an accelerator: they wait).
    """

    output: Tensor
    inputs: dict[str | int, Tensor]
    create_graph: bool
    check_values: bool

    @property
    def logits(self) -> Tensor:
        """z (n, m): the output with all axes but the batch flattened."""
        return self.output.reshape(self.output.shape[0], -1)


@contextmanager
def forward_pass(
    model: ModelOrLogits,
    x: Inputs,
    wrt: Wrt,
    check_values: bool | None,
    update_statistics: bool = False,
) -> Iterator[ForwardPass]:
    """Run the model on its own leaf (or take the logits as they are), with grad mode on inside."""
    checks.not_in_inference_mode()
    create_graph = torch.is_grad_enabled()
    named = by_name(x)
    inputs = select(named, wrt)
    for name, tensor in inputs.items():
        checks.differentiable_input(name, tensor)
    checks.one_batch(inputs)
    with torch.enable_grad():
        if isinstance(model, Tensor):
            output = model
            checks.graph_reaches(output, inputs)
        else:
            checks.is_callable(model)
            if create_graph and not any(computed(t) for t in inputs.values()):
                checks.trainable(model)
            inputs = {name: own(tensor) for name, tensor in inputs.items()}
            # Copies, as a model may work in place on what it is given.
            copies = {name: tensor.clone() for name, tensor in inputs.items()}
            output = call(model, x, named | copies, update_statistics)
        first = next(iter(inputs.values()))
        checks.output(output, first.shape[0])
        reads = first.device.type == "cpu" if check_values is None else check_values
        if reads:
            checks.finite(inputs, output, model)
        yield ForwardPass(output, inputs, create_graph, reads)


def by_name(x: Any) -> dict[str | int, Tensor]:
    """The tensors of x: a dict by name, a tuple by position, a tensor as position 0."""
    if isinstance(x, Tensor):
        return {0: x}
    if isinstance(x, Mapping) and x:
        return dict(x)
    if isinstance(x, tuple | list) and x:
        return dict(enumerate(x))
    raise TypeError(
        f"expected x to be a tensor, or a non-empty tuple or dict of tensors, got {x!r:.60}"
    )


def select(named: dict[str | int, Tensor], wrt: Wrt) -> dict[str | int, Tensor]:
    """The inputs to differentiate: those named, or the only one of a floating dtype."""
    if wrt is not None:
        names: list[Any] = list(wrt) if isinstance(wrt, tuple | list) else [wrt]
        if not names or any(isinstance(k, bool) or k not in named for k in names):
            raise ValueError(f"expected wrt among {list(named)}, got {wrt!r}")
        return {name: named[name] for name in names}
    floating = {k: t for k, t in named.items() if torch.is_tensor(t) and t.is_floating_point()}
    if len(named) == 1:
        return named
    if len(floating) != 1:
        raise ValueError(
            f"expected wrt= to say which inputs to differentiate, as {len(floating)} of "
            f"{list(named)} are of a floating dtype; for example wrt={next(iter(named))!r}"
        )
    return floating


def computed(x: Tensor) -> bool:
    """Whether x came out of something that can be trained (embeddings of tokens, say)."""
    return x.requires_grad and not x.is_leaf


def own(x: Tensor) -> Tensor:
    """A leaf of our own, so that x and x.grad stay untouched.

    A computed x stays in its graph, for J depends on parameters through it and the penalty's
    gradient must too; the view is a variable of its own, also where one input depends on another.
    """
    return x.view_as(x) if computed(x) else x.detach().requires_grad_()


def in_training(model: nn.Module) -> bool:
    """Whether any part of the model is in training mode."""
    return any(module.training for module in model.modules())


def call(
    model: Callable[..., Tensor], x: Inputs, tensors: dict[Any, Tensor], update_statistics: bool
) -> Any:
    """model(x), model(*x) or model(**x).

    Running statistics move once a step, in the pass that the loss is taken from: a penalty's own
    extra pass works on copies of the buffers.
    """
    args = () if isinstance(x, Mapping) else tuple(tensors.values())
    kwargs = tensors if isinstance(x, Mapping) else {}
    if isinstance(model, nn.Module) and not update_statistics and in_training(model):
        buffers = {name: b.clone() for name, b in model.named_buffers()}
        return torch.func.functional_call(model, buffers, args, kwargs)
    return model(*args, **kwargs)
