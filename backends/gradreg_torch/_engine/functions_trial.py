"""A trial of the `torch.autograd.Function`s of a model, each by itself, with arguments of a pass.

Training differentiates a backward pass only for a penalty, so that a constant in it, which should
depend on the input, is seen by nobody: the penalty's value is right, its gradient is not. With c a
cotangent and g(t) the gradient of ⟨c, f(t)⟩, compared are

    ⟨g, d⟩        with (⟨c, f(t + hd)⟩ − ⟨c, f(t − hd)⟩) / 2h,
    ∂⟨g, w⟩/∂t    with (g(t + hw) − g(t − hw)) / 2h, entry by entry (second derivatives commute).

d and w are t times numbers: what is zero, or positive, stays so. What is rounded, and what crosses
a kink, jumps: it changes from step to step, and decides nothing.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gradreg_torch._engine import distributed, graph
from gradreg_torch._engine.call import Call
from gradreg_torch._engine.inputs import first_of
from gradreg_torch._engine.model import Model, copied, visible
from gradreg_torch._engine.random import random_state, replayed
from gradreg_torch._engine.trial import can_be_read, due, parameter_of

_MOST = 4  # calls of one function
_STEPS = 1e-3, 3e-4
_KNOWN: Any = WeakTensorKeyDictionary()  # by a parameter, what was found about each function
_Call = tuple[Any, ...]
_Function = Callable[[list[Tensor]], Tensor]


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


def missing(call: Call, model: Model, output: Tensor, found: list[Any]) -> str:
    """The first function whose backward pass has a wrong derivative, in words; "" without one.

    Raises ValueError where a backward pass is not the derivative.
    """
    nodes = graph.of_python(found)
    if nodes:  # of the weights alone, the first derivative is all that a penalty takes
        way = graph.from_inputs(found, call.inputs.values())
        nodes = [node for node in nodes if node in way]
    functions = {node._forward_cls: graph.name_of(node) for node in nodes}
    if not functions or distributed.parallel() or not can_be_read(output):
        return ""
    parameter = parameter_of(found, call.inputs)
    known = _Known() if parameter is None else _KNOWN.setdefault(parameter, _Known())
    if new := known.new(functions):
        calls = _recorded(call, model, new)
        known.verdicts.update({kind: _verdict(kind, calls[kind]) for kind in new})
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


def _recorded(call: Call, model: Model, kinds: set[Any]) -> dict[Any, list[_Call]]:
    """The arguments of functions, of the first calls in a pass of its own."""
    calls: dict[Any, list[_Call]] = {kind: [] for kind in kinds}
    x = first_of(call.inputs)
    with model.untouched(), _watched(calls), replayed(random_state(x), x), visible(model):
        model(copied(call.inputs), model.buffers())
    return calls


@contextmanager
def _watched(calls: dict[Any, list[_Call]]) -> Iterator[None]:
    """A context in which functions note what they are called with."""
    own = {kind: vars(kind).get("forward") for kind in calls}
    plain = torch.autograd.Function.setup_context

    def forward(kind: Any, run: Callable[..., Any], *given: Any) -> Any:
        if len(calls[kind]) < _MOST:
            args = given[1:] if kind.setup_context is plain else given
            calls[kind].append(tuple(_kept(a) for a in args))
        return run(*given)

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


def _verdict(kind: Any, calls: list[_Call]) -> str:
    """Which derivative of a function is wrong in one of its calls: "first", "second" or ""."""
    for args in calls:
        for wide in (True, False):  # in float64, if the function computes in it
            try:
                found = _One.of(kind, args, wide).verdict()
            except torch.OutOfMemoryError:
                raise
            except Exception:
                continue
            if found:
                return found
            break
    return ""


class _One(NamedTuple):
    """A function of some tensors, and where it was called.

    Parameters
    ----------
    run : callable
        ⟨c, f(t)⟩ for the tensors t.
    at : list of Tensor
        The tensors that are differentiated.
    """

    run: _Function
    at: list[Tensor]

    @classmethod
    def of(cls, kind: Any, args: _Call, wide: bool) -> "_One":
        """One call of a function, in float64 or as it was."""
        given = [
            a.detach().double().requires_grad_(a.requires_grad)
            if wide and isinstance(a, Tensor) and a.is_floating_point()
            else a
            for a in args
        ]
        moving = [i for i, a in enumerate(given) if isinstance(a, Tensor) and a.requires_grad]
        random = random_state(given[moving[0]])

        def run(at: list[Tensor]) -> Tensor:
            now = [a.clone() if isinstance(a, Tensor) else a for a in given]
            for i, t in zip(moving, at, strict=True):
                now[i] = t.clone()  # the function may work in place
            with replayed(random, at[0]):
                out = kind.apply(*now)
            parts = [t for t in (out if isinstance(out, tuple) else (out,)) if _has_graph(t)]
            # With a c that requires grad, only a backward pass that records none has no graph.
            c = [_numbers(t, j + 5).requires_grad_() for j, t in enumerate(parts)]
            terms = [(t * r).sum().double() for t, r in zip(parts, c, strict=True)]
            return torch.stack(terms).sum()

        return cls(run, [given[i] for i in moving])

    def gradient(self, at: list[Tensor]) -> list[Tensor]:
        """g(t), with its graph."""
        leaves = [t if t.requires_grad else t.detach().requires_grad_() for t in at]
        return [
            *torch.autograd.grad(
                self.run(leaves), leaves, create_graph=True, materialize_grads=True
            )
        ]

    def beside(self, along: list[Tensor], h: float) -> list[Tensor]:
        """t + h·along."""
        return [(t + h * a).detach().requires_grad_() for t, a in zip(self.at, along, strict=True)]

    def verdict(self) -> str:
        """Which derivative is wrong; "" where none is, or differences do not say."""
        g = self.gradient(self.at)
        if not torch.equal(_flat(g), _flat(self.gradient(self.at))):
            return ""
        if all(self.first_is_wrong(g, seed) for seed in (1, 2, 3)):
            return "first"
        return "second" if self.second_is_wrong(g) else ""

    def first_is_wrong(self, g: list[Tensor], seed: int) -> bool:
        """Whether ⟨g, d⟩ is not the difference of values, whatever the step.

        The difference of a rounded value is 0, or jumps: a rule stands in for its derivative.
        """
        d = [t.detach() * _numbers(t, seed) for t in self.at]
        terms = _flat(g).detach() * _flat(d)
        got, size = terms.sum(), terms.norm()
        one, other = (
            (self.run(self.beside(d, h)) - self.run(self.beside(d, -h))).detach() / (2 * h)
            for h in _STEPS
        )
        off = (got - one).abs()
        far = off > 0.05 * torch.stack([got.abs(), one.abs(), size / 10]).max()
        return bool(one != 0 and far and (one - other).abs() < 0.1 * torch.minimum(off, one.abs()))

    def second_is_wrong(self, g: list[Tensor]) -> bool:
        """Whether the derivative of g is not the difference of g, in a twentieth of the entries."""
        if not any(t.requires_grad for t in g):
            return False  # the trial of the whole graph finds this
        w = [t.detach() * _numbers(t, 4) for t in self.at]
        along = torch.stack([(t * a).sum() for t, a in zip(g, w, strict=True)]).sum()
        got = _flat(torch.autograd.grad(along, self.at, materialize_grads=True, allow_unused=True))
        one, other = (
            (
                _flat(self.gradient(self.beside(w, h))) - _flat(self.gradient(self.beside(w, -h)))
            ).detach()
            / (2 * h)
            for h in _STEPS
        )
        size, off = torch.maximum(got.abs(), one.abs()), (got - one).abs()
        floor = 1e-6 * size.max() + 1e-9 * _flat(g).detach().abs().max()
        steady = (one - other).abs() < 0.1 * torch.minimum(off, one.abs())
        wrong = (off > 0.05 * size) & (size > floor) & steady
        return bool(wrong.any()) and int(wrong.sum()) >= 0.05 * int((size > floor).sum())


def _has_graph(t: Any) -> bool:
    """Whether an output is differentiated."""
    return isinstance(t, Tensor) and t.requires_grad


def _flat(tensors: Any) -> Tensor:
    """All entries."""
    return torch.cat([t.flatten().double() for t in tensors])


def _numbers(t: Tensor, seed: int) -> Tensor:
    """Numbers without a pattern, like t."""
    k = torch.arange(1, t.numel() + 1, device=t.device, dtype=torch.float64)
    return torch.cos(seed * k * k).reshape(t.shape).to(t.dtype)
