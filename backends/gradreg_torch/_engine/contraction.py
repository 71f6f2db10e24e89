"""What a penalty is: its choice of R in ‖JᵀR‖²_F.

Axes as in docs/notation.md: n example, k logit, i input coordinate, q column.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor


@dataclass(frozen=True)
class Side:
    """The side of J that columns multiply: the logits, or in forward mode the inputs.

    Parameters
    ----------
    n, size : int
        Examples, and coordinates of one example on this side: m logits or i inputs.
    like : Tensor
        Has the dtype and the device that the columns must have.
    reads : bool
        Whether checks may read values.
    logits : Tensor (n, m), optional
        The logits. In forward mode there are none yet.
    output : Tensor (n, …), optional
        The logits in the shape that the model returned.
    """

    n: int
    size: int
    like: Tensor
    reads: bool
    output: Tensor | None = None

    @property
    def z(self) -> Tensor:
        """The model's output, for an R that depends on it."""
        assert self.output is not None  # an R that depends on the logits has no forward mode
        return self.output


class Contraction:
    """R of one penalty. A subclass says what its columns are."""

    same_for_all: bool = False  # one R for all examples
    averaged: bool = False  # R = [r₁ … r_q] / √q: columns are the r, and their squares are averaged
    forward_mode: ClassVar[bool] = True  # columns may also be V, of the inputs
    # For a penalty of S J: from the output to r ↦ S r, columns (q, n, k) to (q, n, k).
    factor: Callable[[Tensor], Callable[[Tensor], Tensor]] | None = None

    def columns(self, side: Side) -> Tensor:
        """R[n, k, q], or V[n, i, q] in forward mode."""
        raise NotImplementedError


@dataclass(frozen=True)
class Identity(Contraction):
    """R = I (in forward mode V = I): the exact ‖J‖²_F."""

    same_for_all: ClassVar[bool] = True  # type: ignore[misc]

    def columns(self, side: Side) -> Tensor:
        """The unit columns, of all examples."""
        eye = torch.eye(side.size, dtype=side.like.dtype, device=side.like.device)
        return eye.expand(side.n, side.size, side.size)
