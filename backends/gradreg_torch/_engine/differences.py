"""Finite differences: value exact, gradient a difference of ordinary gradients; no double backward.

With v = Jᵀr, u = v/‖v‖ and h along it,

    ∇_θ ‖Jᵀr‖² = 2‖v‖ ∇_θ ⟨r, J u⟩,    J u ≈ (z(x + hu) − z(x − hu)) / 2h + O(h²),

(one-sided: (z(x + hu) − z(x)) / h + O(h), a pass less), so ‖v‖² comes from one vector-Jacobian
product without a graph, and its gradient from a surrogate that autograd differentiates once,
2‖v‖ ⟨r(θ), z(x + hu; θ) − z(x − hu; θ)⟩ / 2h. It runs wherever a forward and a backward pass do.
"""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from gradreg_torch._engine import checks, graph, same_function, two_steps
from gradreg_torch._engine.contraction import Contraction
from gradreg_torch._engine.examples import per_row
from gradreg_torch._engine.inputs import Named, first_of
from gradreg_torch._engine.kinks import NOT_THE_SAME, Pieces, kinks
from gradreg_torch._engine.model import Model, Snapshot, copied, visible
from gradreg_torch._engine.random import Random, random_state, replayed
from gradreg_torch._engine.reverse import Reverse
from gradreg_torch._engine.sums import at_least_single, flat

_ROUNDED = 1e-6  # of ‖Jᵀr‖²: in float64 a difference is off by far less
_ORDER = {"finite_difference": 2, "one_sided_difference": 1}
_POWER = {mode: 1 / (order + 1) for mode, order in _ORDER.items()}


@dataclass(frozen=True)
class Differences:
    """A pass that can be repeated beside x.

    Parameters
    ----------
    at_x : Reverse
        The pass at x.
    model : Model
        What runs again.
    before : Snapshot
        Buffers and random state before the pass, from which the passes beside it start too.
    mode : {"finite_difference", "one_sided_difference"}
        Two-sided or one-sided.
    coupled, kinked : bool
        Whether examples depend on each other; whether there are ReLUs or the like.
    eps : float
        ε of the lowest precision that the model computes in, beside x too.
    hides : bool
        Whether a `torch.autograd.Function` may compute in a lower precision than its node shows.
    autocast : bool
        Whether the pass at x is under autocast, which ends beside x.
    drawn : Random
        Random state after the pass.
    fresh : bool
        Whether the pass is one that is tried.
    taken : dict
        The part of the usual step that was taken when the model was tried: `two_steps.taken`.
    """

    last: ClassVar[bool] = True  # the surrogate has the penalty's first derivative alone

    at_x: Reverse
    model: Model
    before: Snapshot
    mode: str
    coupled: bool
    kinked: bool
    eps: float
    hides: bool
    autocast: bool
    drawn: Random
    fresh: bool
    taken: dict[Any, float]

    def contract(self, R: Contraction) -> tuple[Tensor, Tensor, bool]:
        """‖JᵀR‖²_F of every example, (n,), the output, and whether values are read.

        One column at a time.
        """
        output = self.at_x.output
        S, columns = R.factor(output), self.at_x.columns(R).permute(2, 0, 1)
        columns = S(columns).to(output.dtype)
        pieces = Pieces() if self.kinked else None
        one_sided = self.mode == "one_sided_difference"
        z = flat(output)
        if pieces is not None or self.model.written is not None or (one_sided and self.autocast):
            z = self.again(self.at_x.call.inputs, pieces)
        below = z if one_sided else None
        at = self
        if self.fresh and self.at_x.call.reads:
            at = self.fitted(columns[0], below, pieces)
        squares = [at.column(r, below, pieces) for r in columns]
        total = torch.stack(squares).sum(dim=0)
        total = total / len(squares) if R.averaged else total
        return total, output, self.at_x.call.reads

    def column(self, r: Tensor, below: Tensor | None, pieces: Pieces | None) -> Tensor:
        """‖Jᵀr‖², (n,), for one probe r(θ)[n, k]; one-sided, `below` is z(x)."""
        v = self.at_x.vjp(r.detach().reshape(self.at_x.output.shape), create_graph=False)
        square = self.at_x.squared(v)
        r_J_v = self.r_J_v(r, v, square.sqrt(), below, pieces)
        if self.hides and self.at_x.call.reads and _rounded(r_J_v.detach(), square):
            single = checks.single_eps(square.dtype)
            return replace(self, eps=max(self.eps, single), hides=False).column(r, below, pieces)
        if self.at_x.call.reads:
            same_function.require(r_J_v.detach(), square, self.rounding(r, square), self.instead)
        surrogate = 2 * r_J_v
        if surrogate.requires_grad:
            surrogate.register_hook(_require_no_autocast)  # type: ignore[no-untyped-call]
        return square + (surrogate - surrogate.detach())

    def r_J_v(
        self,
        r: Tensor,
        v: tuple[Tensor, ...],
        length: Tensor,
        below: Tensor | None,
        pieces: Pieces | None,
        times: float = 1.0,
    ) -> Tensor:
        """⟨r, J v⟩ (n,) by a difference of logits with its graph, v constant, of these lengths.

        `times` lengthens the step.
        """
        length, h, scale = self.steps(length, times)
        above = self.beside(v, scale, pieces)
        if below is None:
            difference = (above - self.beside(v, -scale, pieces)) / 2
        else:
            difference = above - below
        along = (at_least_single(r) * difference).sum(dim=1)
        return length * along.to(length.device) / h  # a model may move x to another device

    def steps(self, length: Tensor, times: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
        """Lengths of v, h, and h over the length, (n,) each."""
        h = times * self.step()
        if self.coupled:  # one step for the batch, as J v is then a product with all of v
            length, h = length.max().expand_as(length), h.mean().expand_as(h)
        tiny = torch.finfo(length.dtype).tiny
        return length, h, torch.where(length > 0, h / length.clamp_min(tiny), 0)

    def step(self) -> Tensor:
        """h (n,): ∛ε, or √ε one-sided, times √(‖x‖ · rms x), or the part of it that was taken."""
        singles = [at_least_single(t.detach()) for t in self.at_x.call.inputs.values()]
        size = self.at_x.squared(tuple(torch.ones_like(t) for t in singles))
        norm = self.at_x.squared(tuple(singles)).sqrt()
        scale = torch.where(norm > 0, norm / size**0.25, 1)
        return self.taken.get((self.mode, self.eps), 1.0) * self.eps ** _POWER[self.mode] * scale

    def rounding(self, r: Tensor, square: Tensor) -> Tensor:
        """The most that rounding of the logits may add to Σ ⟨r, J v⟩."""
        z = flat(self.at_x.output.detach())
        size = (r.detach() * z).abs().sum(dim=1).to(square.device)
        return self.eps * (size * square.sqrt() / self.step()).sum()

    def fitted(self, r: Tensor, below: Tensor | None, pieces: Pieces | None) -> "Differences":
        """Take a step whose gradient is that of a step of twice the length, or raise ValueError."""
        v = self.at_x.vjp(r.detach().reshape(self.at_x.output.shape), create_graph=False)
        square = self.at_x.squared(v)
        at = (r, v, square.sqrt(), below, pieces)
        key = self.mode, self.eps
        self.taken[key] = 1.0
        r_J_v = self.r_J_v(*at)
        if self.hides and _rounded(r_J_v.detach(), square):
            single = checks.single_eps(square.dtype)
            return replace(self, eps=max(self.eps, single), hides=False).fitted(r, below, pieces)
        if not (leaves := two_steps.trained(r_J_v, self.at_x.call.inputs)):
            return self

        most = self.rounding(r, square)

        def gradient(times: float) -> Tensor:
            along = self.r_J_v(*at, times=times)
            found = two_steps.gradient(along, leaves)
            right = same_function.agrees(along.detach(), square, most / times)
            return found if right else torch.full_like(found, torch.nan)

        length, h, scale = self.steps(square.sqrt())
        along = (at_least_single(r) * self.beside(v, scale, pieces)).sum(dim=1)
        rounding = two_steps.gradient(self.eps * length * along.to(length.device) / h, leaves)
        self.taken[key], off = two_steps.part(gradient, rounding, _ORDER[self.mode])
        if not self.taken[key]:
            del self.taken[key]
            same_function.require(r_J_v.detach(), square, most, self.instead)
            raise ValueError(two_steps.refusal(off, self.instead()))
        return self

    def instead(self) -> str:
        """What to do where finite differences are refused."""
        return graph.instead_of_differences(graph.names(graph.nodes(self.at_x.output)))

    def beside(self, v: tuple[Tensor, ...], scale: Tensor, pieces: Pieces | None) -> Tensor:
        """z(x + scale · v), on the pieces where x is."""
        scale = per_row(scale, self.at_x.call.batch)
        moved: Named = {
            name: x + (scale.reshape(-1, *[1] * (x.ndim - 1)) * t.detach()).to(x.dtype)
            for (name, x), t in zip(self.at_x.call.inputs.items(), v, strict=True)
        }
        logits = self.again(moved, pieces and pieces.repeat())
        if pieces is not None and pieces.left:
            raise ValueError(NOT_THE_SAME)
        found = graph.nodes(logits)
        graph.require_seen(found)
        checks.at_least_single(graph.dtypes(found))
        if left := kinks(found):
            raise ValueError(
                f"expected operations that finite differences can follow, got "
                f"{', '.join(sorted(left))}: the derivative jumps at a kink; {self.instead()}"
            )
        return logits

    def again(self, inputs: Named, pieces: Pieces | None) -> Tensor:
        """The logits at other inputs: dropout masks and buffers as in the pass at x.

        Without autocast: a difference of float16 or bfloat16 logits drowns in rounding.
        """
        x = first_of(inputs)
        assert self.before.random is not None
        with (
            replayed(self.before.random, x),
            torch.autocast(x.device.type, enabled=False),
            visible(self.model),
            pieces or nullcontext(),
        ):
            output = self.model(copied(inputs), copied(self.before.buffers))
            if not self.autocast:  # a device may draw other numbers for the same masks under it
                same_function.require_as_drawn(random_state(x), self.drawn, self.instead)
        checks.at_least_single([output.dtype])
        return flat(output)


def _require_no_autocast(gradient: Tensor) -> None:
    """Raise ValueError in a backward pass inside autocast, whose products drown in rounding."""
    if torch.is_autocast_enabled(gradient.device.type):
        raise ValueError(
            "expected backward() outside torch.autocast after finite differences, got it inside, "
            "where a difference of gradients in float16 or bfloat16 drowns in rounding; end the "
            "autocast block before backward(), or pass mode='reverse'"
        )


def _rounded(r_J_v: Tensor, square: Tensor) -> bool:
    """Whether ⟨r, J v⟩ in float64 is as far from ‖v‖² as after a computation in float32."""
    off = (r_J_v.sum() - square.sum()).abs()
    return square.dtype == torch.float64 and bool(off > _ROUNDED * square.sum())
