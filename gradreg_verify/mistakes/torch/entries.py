"""What an entry of the catalogue is, and the lines that most entries share."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import one_hot

from gradreg_verify.mistakes.catalogue import CLAIM
from gradreg_verify.subject.declaration import Declaration

Mistake = Literal["value", "gradient", "sampler", "batch", "shape", "dtype", "conduct"]
Function = Callable[..., Any]
Of = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Entry:
    """An implementation, and what is known of it.

    Parameters
    ----------
    function : callable
        As people write it.
    declaration : Declaration
        What it was meant to be.
    formula : str
        What it computes.
    claim : str
        Id of the claim that it breaks; "" for one that is right.
    mistake : str
        What kind of mistake it is; "" for one that is right.
    seen : str
        Where.
    """

    function: Function
    declaration: Declaration
    formula: str
    claim: str = ""
    mistake: Mistake | Literal[""] = ""
    seen: str = ""

    def __str__(self) -> str:
        name = getattr(self.function, "__name__", type(self.function).__name__)
        return f"{self.declaration.kind}: {name.replace(chr(95), chr(32))}"


WRONG: list[Entry] = []
RIGHT: list[Entry] = []


# The claim that a mistake breaks where its entry names no other.
USUAL = {
    "gradient": "training-gradient",
    "sampler": "probe-law",
    "batch": "values-per-example",
    "shape": "values-per-example",
    "dtype": "rounding-bounded",
    "conduct": "repeatable",
}


def wrong(
    kind: str, mistake: Mistake, formula: str, seen: str, claim: str = "", **declared: Any
) -> Callable[[Function], Function]:
    """Enter a wrong implementation; a wrong value breaks the claim on the formula."""
    claim = claim or USUAL.get(mistake) or CLAIM[kind]
    return enter(WRONG, Declaration(kind, **declared), formula, claim, mistake, seen)


def right(formula: str, kind: str, **declared: Any) -> Callable[[Function], Function]:
    """Enter a right implementation that is written in an unusual way."""
    return enter(RIGHT, Declaration(kind, **declared), formula)


def enter(catalogue: list[Entry], *about: Any) -> Callable[[Function], Function]:
    """The decorator."""

    def entered(function: Function) -> Function:
        catalogue.append(Entry(function, *about))
        return function

    return entered


def own(x: Tensor) -> Tensor:
    """A leaf of its own."""
    return x.detach().requires_grad_()


def vjp(z: Tensor, x: Tensor, r: Tensor, create_graph: bool = True) -> Tensor:
    """Jᵀr of every example, inputs flattened; r may depend on x, and is not differentiated here."""
    r = r.to(z.dtype).expand_as(z)
    (Jt_r,) = torch.autograd.grad(z, x, r, create_graph=create_graph, retain_graph=True)
    return Jt_r.flatten(1)


def rows(z: Tensor, x: Tensor, create_graph: bool = True) -> Tensor:
    """J[n, k, i], a row at a time."""
    units = torch.eye(z.shape[1], dtype=z.dtype, device=z.device)
    return torch.stack([vjp(z, x, unit, create_graph) for unit in units], dim=1)


def e_y(y: Tensor, z: Tensor) -> Tensor:
    """Rows e_y, as z is."""
    return one_hot(y, z.shape[1]).to(z.dtype)


def squares(J: Tensor) -> Tensor:
    """‖·‖² of every example."""
    return J.flatten(1).square().sum(1)


def same(z: Tensor) -> Tensor:
    """Logits as they are, for `of` below."""
    return z


def softmax(z: Tensor) -> Tensor:
    """Their probabilities."""
    return z.softmax(1)


def half_softmax(z: Tensor) -> Tensor:
    """Their probabilities, of float32 computed in float16."""
    return softmax(z.half()).to(z.dtype) if z.dtype == torch.float32 else softmax(z)


def jacobian(model: Of, x: Tensor, of: Of = same, create_graph: bool = True) -> Tensor:
    """J[n, k, i] of `of` the logits."""
    x = own(x)
    return rows(of(model(x)), x, create_graph)


def exact(model: Of, x: Tensor, of: Of = same) -> Tensor:
    """‖J‖²_F of every example."""
    return squares(jacobian(model, x, of))


def projected(model: nn.Module, x: Tensor, probes: Of, of: Of = same) -> Tensor:
    """‖Jᵀr‖² of every example at the probes r(z); their mean where there are several, (q, n, k)."""
    x = own(x)
    z = of(model(x))
    r = probes(z)
    sets = r if r.ndim == 3 else r[None]
    return torch.stack([squares(vjp(z, x, one)) for one in sets]).mean(0)


def at_probes(entered: Callable[[Function], Function]) -> Callable[[Of], Function]:
    """Enter SpectReg at the probes r(z) that the decorated function draws for logits z."""

    def by(probes: Of) -> Function:
        def penalty(model: nn.Module, x: Tensor) -> Tensor:
            return projected(model, x, probes).mean()

        penalty.__name__ = penalty.__qualname__ = probes.__name__
        return entered(penalty)

    return by


def gradient(model: nn.Module, x: Tensor, loss: Of) -> Tensor:
    """∂loss(z)/∂x of a loss of the whole batch, as x is."""
    x = own(x)
    (g,) = torch.autograd.grad(loss(model(x)), x, create_graph=True)
    return g
