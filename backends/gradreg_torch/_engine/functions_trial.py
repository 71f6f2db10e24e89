"""A trial of the `torch.autograd.Function`s of a model, each by itself, with arguments of a pass.

Training differentiates a backward pass only for a penalty, so that a constant in it, which should
depend on the input, is seen by nobody: the penalty's value is right, its gradient is not.
"""

import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from threading import RLock
from typing import Any
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gradreg_torch._engine import distributed, graph
from gradreg_torch._engine.call import Call
from gradreg_torch._engine.inputs import first_of
from gradreg_torch._engine.model import Model, copied, visible
from gradreg_torch._engine.one_function import Called, verdict
from gradreg_torch._engine.random import random_state, replayed
from gradreg_torch._engine.trial import can_be_read, due, parameter_of

_MOST = 4  # calls of one function
_WATCHING = RLock()
# By a parameter, by autocast and the dtypes of a pass, what was found about each function.
_KNOWN: Any = WeakTensorKeyDictionary()


class _Known:
    """What was found about functions, and how often there were new ones of a name."""

    def __init__(self) -> None:
        self.verdicts: WeakKeyDictionary[Any, str] = WeakKeyDictionary()
        self.passes: Counter[str] = Counter()

    def new(self, functions: Iterable[Any]) -> set[Any]:
        """The functions to try now: a model that defines its class in each pass has always some."""
        unknown = {kind for kind in functions if kind not in self.verdicts}
        names = {kind.__qualname__ for kind in unknown}
        self.passes.update(names)
        return {kind for kind in unknown if due(self.passes[kind.__qualname__])}


def missing(call: Call, mode: str, output: Tensor, found: list[Any]) -> str:
    """The first function whose backward pass has a wrong derivative, in words; "" without one.

    Raises ValueError where a backward pass is not the derivative. Warns of functions that cannot be
    tried, because the model cannot run again; finite differences need no warning.
    """
    nodes = graph.of_python(found)
    if nodes:  # of the weights alone, the first derivative is all that a penalty takes
        way = graph.from_inputs(found, call.inputs.values())
        nodes = [node for node in nodes if node in way]
    functions = {node._forward_cls: graph.name_of(node) for node in nodes}
    if not functions or not can_be_read(output):
        return ""
    parameter = parameter_of(found, call.inputs)
    of_pass = {} if parameter is None else _KNOWN.setdefault(parameter, {})
    # `torch.amp.custom_fwd` makes of one function several, by autocast and precision.
    autocast = torch.is_autocast_enabled(output.device.type)
    known = of_pass.setdefault((autocast, *sorted(map(str, graph.dtypes(found)))), _Known())
    model = call.model
    if isinstance(model, Tensor) or distributed.communicates(model.parts):
        if "difference" not in mode or not call.create_graph:
            _warn({name for kind, name in functions.items() if kind not in known.verdicts})
    elif new := known.new(functions):
        calls = _recorded(call, model, new)
        known.verdicts.update({kind: verdict(kind, calls[kind]) for kind in new})
    for kind, name in functions.items():
        short = name.removesuffix("Backward")
        if known.verdicts.get(kind) == "first":
            raise ValueError(
                f"expected a backward pass that is the derivative, got {short}, whose is another: "
                "the penalty would be computed for another function; leave it out of the model "
                "that is penalised"
            )
        if known.verdicts.get(kind) == "second":
            return f"{short} (a constant in whose backward pass should depend on its input)"
    return ""


def _warn(names: set[str]) -> None:
    """Say what is not tried."""
    if names:
        listed = ", ".join(sorted(names))
        warnings.warn(
            f"not tried: the backward pass of {listed}, which may be no derivative, "
            "or lose a part of the second one. A penalty tries such functions if it gets the model "
            "itself, in one process: call check_model(model, x, y, penalty), or this penalty once "
            "with the model",
            stacklevel=2,
        )


def _recorded(call: Call, model: Model, kinds: set[Any]) -> dict[Any, list[Called]]:
    """The arguments of functions, of the first calls in a pass of its own."""
    calls: dict[Any, list[Called]] = {kind: [] for kind in kinds}
    x = first_of(call.inputs)
    with (
        distributed.unwrapped(model.parts),
        model.untouched(),
        _watched(calls, x.device.type),
        replayed(random_state(x), x),
        visible(model),
    ):
        model(copied(call.inputs), model.buffers())
    return calls


@contextmanager
def _watched(calls: dict[Any, list[Called]], device: str) -> Iterator[None]:
    """A context in which functions note what they are called with, of one thread at a time."""
    plain = torch.autograd.Function.setup_context

    def forward(kind: Any, run: Callable[..., Any], *given: Any) -> Any:
        if len(calls[kind]) < _MOST:
            args = given[1:] if kind.setup_context is plain else given
            dtype, on = torch.get_autocast_dtype(device), torch.is_autocast_enabled(device)
            autocast = torch.autocast(device, dtype, enabled=on)
            calls[kind].append(Called(tuple(_kept(a) for a in args), autocast))
        return run(*given)

    with _WATCHING:
        own = {kind: vars(kind).get("forward") for kind in calls}
        try:
            for kind in calls:
                kind.forward = staticmethod(partial(forward, kind, kind.forward))
            yield
        finally:
            for kind, method in own.items():
                if method is None:
                    del kind.forward
                else:
                    kind.forward = method


def _kept(a: Any) -> Any:
    """A tensor as it is now, a leaf that requires grad where it does; other arguments as given."""
    return a.detach().clone().requires_grad_(a.requires_grad) if isinstance(a, Tensor) else a
