"""A graph tried once: can its products be differentiated, and does one example see another?

Two products with chosen columns answer, before the first penalty is trusted. A column r that is
zero in every second example has Jᵀr = 0 there, unless examples see each other. And ‖Jᵀr‖² is
quadratic in r, so that ⟨r, ∂‖Jᵀr‖²/∂r⟩ = 2‖Jᵀr‖² (Euler), unless a part of the backward pass
records no graph: a gradient through it would be lost without a word.
"""

from itertools import islice
from math import isfinite
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from gradreg_torch._engine import graph
from gradreg_torch._engine.examples import per_row
from gradreg_torch._engine.reverse import Reverse, sum_of_squares


class Trial(NamedTuple):
    """What a graph showed.

    Parameters
    ----------
    coupled : bool
        Whether an example's output depends on another example's input.
    once : str
        What cannot be differentiated twice, in words; "" where all can.
    decided : bool
        Whether the products were numbers other than 0: at a last layer of zeros nothing shows.
    """

    coupled: bool
    once: str = ""
    decided: bool = True


# By a parameter that the graph leads to, and the graph's operations: a trial is made once.
_KNOWN: Any = WeakTensorKeyDictionary()


def tried(
    at_x: Reverse, found: list[Any], names: set[str], twice: bool, again: bool = False
) -> Trial:
    """The trial of a pass with these nodes; `twice` if its products shall be differentiated.

    A model is tried once, or, with `again`, at every step.
    """
    by_graph = graph.couples_examples(found, names)
    if not _can_be_read(at_x.output):
        return Trial(by_graph, ", ".join(graph.without_double_backward(names)))
    inputs = set(map(id, at_x.call.inputs.values()))
    leaves = (node.variable for node in found if type(node).__name__ == graph.LEAF)
    parameters = (leaf for leaf in leaves if id(leaf) not in inputs)
    first = list(islice(parameters, 1))  # the others are looked for where there is a trial
    ragged = at_x.call.batch is not None
    signature = (twice, by_graph, ragged, at_x.output.shape[0] > 1, *_kinds(found))
    known = _KNOWN.setdefault(*first, {}) if first and graph.HIDDEN not in names else {}
    if signature in known and not again:
        trial: Trial = known[signature]
        return trial
    trial = _trial(at_x, found, [*first, *parameters], twice)
    if trial.decided:
        known[signature] = trial
    return trial


def _kinds(found: list[Any]) -> list[Any]:
    """What nodes do, as far as they say: operations, the axes they work on, and numbers of axes.

    Sizes are left out: a batch of another size, or longer sentences, are no other model.
    """
    said: list[Any] = []
    for node in found:
        said.append(type(node))
        if type(node).__name__ != graph.LEAF:
            said += getattr(node, "_saved_dim", None), getattr(node, "_saved_dims", None)
            said += [len(gradient.shape) for gradient in node._input_metadata]
    return said


def _trial(at_x: Reverse, found: list[Any], leaves: list[Tensor], twice: bool) -> Trial:
    """Two products, each of every second example; the first of them differentiated."""
    coupled, once, decided = graph.couples_examples(found), "", True
    for half in _halves(at_x):
        r, others = _column(at_x.output, half), per_row(~half, at_x.call.batch)
        try:
            products = at_x.vjp(r, create_graph=twice)
            coupled = coupled or any(_not_zero(v[others]) for v in products)
            decided = decided and any(map(_not_zero, products))
            if twice and not once:
                once = _lost(r, products, leaves, found)
        except torch.OutOfMemoryError:
            raise
        except (RuntimeError, NotImplementedError) as error:
            if not twice:
                raise
            once = _words(found) or str(error).splitlines()[0]
    return Trial(coupled, once, decided)


def _not_zero(v: Tensor) -> bool:
    """Whether an entry is another number than 0, and all are numbers."""
    return bool(v.any()) and bool(torch.isfinite(v).all())


def _halves(at_x: Reverse) -> list[Tensor]:
    """Every second example, and the others, (n,); with `batch` by each binary digit of its number.

    The digits tell any two examples apart, whatever rows of x a wrong `batch` exchanges.
    """
    n = at_x.output.shape[0]
    number = torch.arange(n, device=at_x.output.device)
    digits = (n - 1).bit_length() if at_x.call.batch is not None else min(n - 1, 1)
    halves = [(number >> digit) % 2 == parity for digit in range(digits) for parity in (1, 0)]
    return halves or [number == 0]


def _column(output: Tensor, half: Tensor) -> Tensor:
    """A column like the output, zero but in half of the examples."""
    r = torch.zeros_like(output)
    k = torch.arange(r[half].numel(), device=r.device)
    r[half] = torch.cos(k + 1.0).reshape(r[half].shape).to(r.dtype)
    return r.requires_grad_()


def _lost(r: Tensor, products: tuple[Tensor, ...], leaves: list[Tensor], found: list[Any]) -> str:
    """What loses the gradient of ‖Jᵀr‖²; "" where Euler's identity holds."""
    square = torch.stack([sum_of_squares(v).sum() for v in products]).sum()
    at_r = None
    if square.requires_grad:
        plain = [leaf for leaf in leaves if not leaf._backward_hooks]
        at_r, *_ = torch.autograd.grad(square, [r, *plain], retain_graph=True, allow_unused=True)
    expected = 2 * float(square.detach())
    got = 0.0 if at_r is None else float((r.detach() * at_r).double().sum())
    numbers = 0 < expected < float("inf") and isfinite(got)
    right = abs(got - expected) <= _tolerance(r.dtype) * expected
    return "" if right or not numbers else _words(found) or "a function of the model"


def _tolerance(dtype: torch.dtype) -> float:
    """16 √u: far above rounding, at most a quarter."""
    return min(0.25, 16 * torch.finfo(dtype).eps ** 0.5)


def _can_be_read(output: Tensor) -> bool:
    """Whether there are values, and nothing forbids to read them."""
    recording = output.is_cuda and torch.cuda.is_current_stream_capturing()
    return not output.is_meta and not recording


def _words(found: list[Any]) -> str:
    """Operations that are known to have no double backward; without one, functions of others."""
    known = graph.without_double_backward(graph.names(found))
    return ", ".join(known or graph.custom_functions(found))
