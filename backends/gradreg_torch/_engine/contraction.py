"""What a penalty is: its choice of R in ‖JᵀR‖²_F.

Axes as in docs/notation.md: n example, k logit, i input coordinate, q column.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar, NamedTuple

import torch
from torch import Tensor

from gradreg_torch._engine import checks


class Side(NamedTuple):
    """The side of J that columns multiply: the logits, or in forward mode the inputs.

    Parameters
    ----------
    z : Tensor (n, …)
        The logits as the model returned them. In forward mode there are none yet, and z is an
        input, which has the dtype and the device that the columns must have.
    size : int
        Coordinates of one example on this side: m logits or i inputs.
    reads : bool
        Whether checks may read values.
    """

    z: Tensor
    size: int
    reads: bool


class Contraction:
    """R of one penalty. A subclass says what its columns are."""

    same_for_all: bool = False  # one R for all examples
    averaged: bool = False  # R = [r₁ … r_q] / √q: columns are the r, and their squares are averaged
    by_user: bool = False  # columns are the user's own, whose values only a pass shows
    draws: bool = False  # columns are drawn from a generator
    forward_mode: ClassVar[bool] = False  # columns may also be V, of the inputs

    def columns(self, side: Side) -> Tensor:
        """R[n, k, q], or V[n, i, q] in forward mode."""
        raise NotImplementedError

    def factor(self, output: Tensor) -> Callable[[Tensor], Tensor]:
        """S of a penalty of S J: r ↦ S r, columns (q, n, k) to (q, n, k)."""
        del output
        return lambda columns: columns


def same_for_all(columns: Tensor) -> bool:
    """Whether columns[n, k, q] are equal for all of several examples (reads values)."""
    return len(columns) > 1 and bool((columns == columns[:1]).all())


@dataclass(frozen=True)
class Identity(Contraction):
    """R = I (in forward mode V = I): the exact ‖J‖²_F."""

    same_for_all: ClassVar[bool] = True  # type: ignore[misc]
    forward_mode: ClassVar[bool] = True

    def columns(self, side: Side) -> Tensor:
        """The unit columns, of all examples."""
        checks.fitting("R = I", (side.size, side.size), "estimate the penalty with spectreg")
        eye = torch.eye(side.size, dtype=side.z.dtype, device=side.z.device)
        return eye.expand(len(side.z), side.size, side.size)
