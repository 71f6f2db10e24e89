"""A part of a batch, drawn without replacement."""

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradreg_torch._engine.inputs import Inputs, changed


@dataclass(frozen=True)
class Subset:
    """Some examples of a batch, and the others.

    Of several inputs, tensors whose first axis is the batch are cut: as long as the inputs that are
    differentiated. What else the model takes (a shared table, a flag, None) is handed on whole.

    Parameters
    ----------
    rows, rest : Tensor
        Their indices.
    x, others : Inputs
        The inputs of both, in the form of the batch.
    """

    rows: Tensor
    rest: Tensor
    x: Inputs
    others: Inputs

    @classmethod
    def drawn(
        cls, x: Inputs, first: Tensor, fraction: float, generator: torch.Generator
    ) -> "Subset":
        """Draw round(fraction · n) examples, at least one; all such sets are equally likely.

        `first` is an input that is differentiated: its length is n, its device that of the rows.
        """
        n = first.shape[0]
        order = torch.randperm(n, generator=generator, device=generator.device)
        order = order.to(first.device, non_blocking=order.is_cpu)  # the CPU would not wait
        k = max(1, round(fraction * n))
        rows, rest = order[:k], order[k:]
        return cls(rows, rest, taken(x, rows, n), taken(x, rest, n))

    def of(self, name: str, t: Any) -> Tensor:
        """The rows of labels, probes or an R of the batch that belong to the part."""
        n = len(self.rows) + len(self.rest)
        if not isinstance(t, Tensor):
            raise TypeError(
                f"expected {name} to be a tensor, because fraction takes the rows of the examples "
                f"it draws, got {type(t).__name__}; pass a tensor with a row for each example"
            )
        if t.ndim == 0 or len(t) != n:
            raise ValueError(
                f"expected {name} with a row for each of the {n} examples of the batch, because "
                f"fraction draws some of these rows, got shape {tuple(t.shape)}"
            )
        return t[self.rows.to(t.device)]

    @property
    def scale(self) -> float:
        """Return the factor from a sum over the part to the expected sum over the batch."""
        return (len(self.rows) + len(self.rest)) / len(self.rows)

    def whole(self, part: Tensor, others: Tensor | None) -> Tensor:
        """The outputs of the part and of the rest, in the order of the batch."""
        outputs = [part] if others is None else [part, others]
        return torch.cat(outputs)[torch.cat([self.rows, self.rest]).argsort()]


def taken(x: Inputs, rows: Tensor, n: int) -> Any:
    """Return these examples of n, in the form of x."""

    def cut(t: Any) -> Any:
        return (
            t[rows.to(t.device)] if isinstance(t, Tensor) and t.ndim > 0 and t.shape[0] == n else t
        )

    return changed(x, cut)
