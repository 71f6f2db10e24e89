"""A part of a batch, drawn without replacement."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from gradreg_torch._engine.inputs import Inputs, by_name


@dataclass(frozen=True)
class Subset:
    """Some examples of a batch, and the others.

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
    def drawn(cls, x: Inputs, fraction: float, generator: torch.Generator) -> "Subset":
        """round(fraction · n) examples, at least one, all sets of as many alike likely."""
        first = cls.example(x)
        n = first.shape[0]
        order = torch.randperm(n, generator=generator, device=generator.device)
        order = order.to(first.device, non_blocking=True)
        k = max(1, round(fraction * n))
        return cls(order[:k], order[k:], taken(x, order[:k]), taken(x, order[k:]))

    @staticmethod
    def example(x: Inputs) -> Tensor:
        """An input, for batch size and device."""
        return next(iter(by_name(x).values()))

    @property
    def scale(self) -> float:
        """From a sum over the part to the expected sum over the batch."""
        return (len(self.rows) + len(self.rest)) / len(self.rows)

    def whole(self, part: Tensor, others: Tensor | None) -> Tensor:
        """Outputs of both, in the order of the batch."""
        if others is None:
            return part[torch.argsort(self.rows)]
        order = torch.cat([self.rows, self.rest])
        return torch.cat([part, others])[torch.argsort(order)]


def taken(x: Inputs, rows: Tensor) -> Any:
    """These examples, in the form of x."""
    if isinstance(x, Tensor):
        return x[rows]
    if isinstance(x, Mapping):
        return {name: t[rows] for name, t in x.items()}
    return tuple(t[rows] for t in x)
