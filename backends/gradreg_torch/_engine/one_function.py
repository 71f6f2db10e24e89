"""One call of a `torch.autograd.Function`: are its derivatives right?

With c a cotangent and g(t) the gradient of ⟨c, f(t)⟩, compared are

    ⟨g, d⟩        with (⟨c, f(t + hd)⟩ − ⟨c, f(t)⟩) / h,
    ∂⟨g, w⟩/∂t    with (g(t + hw) − g(t)) / h, entry by entry (second derivatives commute).

d and w are t times numbers: what is zero, or positive, stays so. Differences that do not agree
with each other, and those that float32 would hardly resolve, decide nothing.

They are of float64. As the pass runs, ∂⟨g, w⟩/∂t must be the same (see `as_run`).
"""

from collections.abc import Callable
from itertools import islice
from math import hypot
from typing import Any, NamedTuple

import torch
from torch import Tensor

from gradreg_torch._engine.as_run import is_lost, nudged, second
from gradreg_torch._engine.columns import repeats, without_pattern
from gradreg_torch._engine.float64 import in_float64, with_float64
from gradreg_torch._engine.jumps import jumps
from gradreg_torch._engine.one_sided import one_sided, steps
from gradreg_torch._engine.random import random_state, replayed

_STEP = 1e-3
_LEAST = 0.01  # a solver in a backward pass stops at a tolerance
_FAR = 2.0  # where some entries have another sign
_ROUNDING = 8 * torch.finfo(torch.float32).eps / steps(_STEP)[-1]
_Arguments = tuple[Any, ...]
_Function = Callable[[list[Tensor]], Tensor]


class Called(NamedTuple):
    """A call: its arguments, and the autocast that it was in."""

    args: _Arguments
    autocast: torch.autocast


def verdict(kind: Any, calls: list[Called]) -> str:
    """Which derivative of a function is wrong in one of its calls: "first", "second" or ""."""
    for args, autocast in calls:
        for wide in (True, False):  # in float64, if the function computes in it
            try:
                with autocast:
                    one = _One.of(kind, args, wide)
                    found = one.verdict()
                    if wide and not found and one.is_lost(_One.of(kind, args, wide=False)):
                        found = "second"
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
        The terms of ⟨c, f(t)⟩ for the tensors t.
    at : list of Tensor
        The tensors that are differentiated.
    """

    run: _Function
    at: list[Tensor]

    @classmethod
    def of(cls, kind: Any, args: _Arguments, wide: bool) -> "_One":
        """One call of a function, in float64 or as it was."""
        given = [_wide(a) if wide and isinstance(a, Tensor) else a for a in args]
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
            c = [without_pattern(t, j + 5).requires_grad_() for j, t in enumerate(parts)]
            return _flat([t * r for t, r in zip(parts, c, strict=True)])

        return cls(run, [given[i] for i in moving])

    def gradient(self, at: list[Tensor]) -> list[Tensor]:
        """g(t), with its graph."""
        leaves = [t if t.requires_grad else t.detach().requires_grad_() for t in at]
        return [
            *torch.autograd.grad(
                self.run(leaves).sum(), leaves, create_graph=True, materialize_grads=True
            )
        ]

    def beside(self, along: list[Tensor], h: float) -> list[Tensor]:
        """t + h·along."""
        return [(t + h * a).detach().requires_grad_() for t, a in zip(self.at, along, strict=True)]

    def verdict(self) -> str:
        """Which derivative is wrong; "" where none is, or differences do not say."""
        g = self.gradient(self.at)
        if not repeats(g, self.gradient(self.at)):
            return ""
        every = (self.slope(g, seed) for seed in range(1, 9))
        found = [*islice((slope for slope in every if not slope.cancels()), 3)]
        if found and (_are_far_off(found) or (_are_surely_off(found) and not self.rounds())):
            return "first"
        return "second" if self.second_is_wrong(g) else ""

    def slope(self, g: list[Tensor], seed: int) -> "_Slope":
        """⟨g, d⟩ for one d, and the difference of values."""
        d = [t.detach() * without_pattern(t, seed) for t in self.at]
        terms = _flat(g).detach() * _flat(d)
        moved, apart = one_sided(lambda h: self.run(self.beside(d, h)).detach().sum(), _STEP)
        floor = _ROUNDING * self.run(self.at).detach().norm()
        return _Slope(*map(float, (terms.sum(), terms.norm(), moved, apart, floor)))

    def rounds(self) -> bool:
        """Whether values jump, so that differences of short steps are not those of long ones."""
        d = [t.detach() * without_pattern(t, 1) for t in self.at]
        try:
            return jumps(lambda h: self.run(self.beside(d, h)).detach(), _FAR)
        except torch.OutOfMemoryError:
            raise
        except Exception:  # the function may not be defined so far away
            return False

    def second_is_wrong(self, g: list[Tensor]) -> bool:
        """Whether the derivative of g is not the difference of g, in a twentieth of the entries."""
        if not any(t.requires_grad for t in g):
            return False  # the trial of the whole graph finds this
        w = [t.detach() * without_pattern(t, 4) for t in self.at]
        got = _flat(second(g, w, self.at))
        moved, apart = one_sided(lambda h: _flat(self.gradient(self.beside(w, h))).detach(), _STEP)
        size, off = torch.maximum(got.abs(), moved.abs()), (got - moved).abs()
        floor = 1e-3 * size.max() + _ROUNDING * _flat(g).detach().abs().max()
        steady = apart < torch.minimum(off / 2, moved.abs() / 10)
        wrong = (off > 0.05 * size) & (size > floor) & steady
        return bool(wrong.any()) and int(wrong.sum()) >= 0.05 * int((size > floor).sum())

    def is_lost(self, own: "_One") -> bool:
        """Whether ∂⟨g, w⟩/∂t is right here, in float64, and another one as the pass runs."""
        w = [t.detach() * without_pattern(t, 4) for t in self.at]
        near, narrow = [*map(nudged, self.at)], [a.to(t) for a, t in zip(w, own.at, strict=True)]
        g, g_own = self.gradient(self.at), own.gradient(own.at)
        beside = second(self.gradient(near), w, near)
        return is_lost((g, g_own), (second(g, w, self.at), beside, second(g_own, narrow, own.at)))


class _Slope(NamedTuple):
    """⟨g, d⟩ for one d, and the difference that it should be.

    Parameters
    ----------
    got, size : float
        ⟨g, d⟩, and the norm of its terms.
    moved, apart : float
        The difference, and how far differences lie apart.
    floor : float
        What float32 would hardly resolve.
    """

    got: float
    size: float
    moved: float
    apart: float
    floor: float

    @property
    def off(self) -> float:
        """How far both are from each other."""
        return abs(self.got - self.moved)

    def cancels(self) -> bool:
        """Whether the terms of both cancel, which says nothing."""
        return self.size > 10 * max(abs(self.got), abs(self.moved))

    def is_far_off(self) -> bool:
        """Whether they differ by more than a twentieth, and by more than the differences do."""
        steady = self.apart < min(self.off / 2, abs(self.moved) / 10)
        enough = self.off > 0.05 * max(abs(self.got), abs(self.moved))
        return steady and enough and abs(self.moved) > self.floor


def _are_far_off(slopes: list[_Slope]) -> bool:
    """Whether all are: differences of a function that rounds agree by chance, in one or two."""
    return all(slope.is_far_off() for slope in slopes)


def _are_surely_off(slopes: list[_Slope]) -> bool:
    """Whether g is off by a hundredth, and by ten times as much as differences lie apart.

    As vectors, over all d: what is wrong in some entries of g may nearly cancel along one d.
    """
    off, size, moved, apart = (
        hypot(*parts)
        for parts in zip(*((s.off, s.size, s.moved, s.apart) for s in slopes), strict=True)
    )
    return off > max(_LEAST * size, 10 * apart) and moved > max(s.floor for s in slopes)


def _wide(a: Tensor) -> Tensor:
    """A tensor in float64, a leaf that requires grad where it does; whole numbers beside it."""
    if not a.is_floating_point():
        return with_float64(a)
    return in_float64(a.detach()).requires_grad_(a.requires_grad)


def _has_graph(t: Any) -> bool:
    """Whether an output is differentiated."""
    return isinstance(t, Tensor) and t.requires_grad


def _flat(tensors: Any) -> Tensor:
    """All entries."""
    return torch.cat([in_float64(t.flatten()) for t in tensors])
