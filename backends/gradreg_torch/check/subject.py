"""What `check_model` checks: a model, a batch and a penalty; and how to restore their state."""

from collections.abc import Callable
from copy import copy
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from gradreg_torch._engine import Evaluated
from gradreg_torch._engine.holding import held_modules
from gradreg_torch._engine.inputs import Inputs, by_name, changed
from gradreg_torch._engine.model import Model, all_modules
from gradreg_torch._engine.parts import named_parameters
from gradreg_torch.check.derivative import wide
from gradreg_torch.losses import Loss, training_loss
from gradreg_torch.penalty import Penalty


@dataclass(frozen=True)
class Subject:
    """What is checked, and how to restore the state before the check."""

    model: Callable[..., Any]
    x: Inputs
    y: Tensor | None
    penalty: Penalty
    loss: Loss
    back: Callable[[], None] = lambda: None

    @cached_property
    def modules(self) -> tuple[nn.Module, ...]:
        """The model, or the modules that it holds."""
        return all_modules(held_modules(self.model))

    @cached_property
    def parameters(self) -> dict[str, Tensor]:
        """The parameters that are trained, by name."""
        return {n: p for n, p in named_parameters(self.modules).items() if p.requires_grad}

    def require_trainable(self) -> None:
        """Raise ValueError for a model without parameters to train."""
        if callable(self.model) and not self.parameters:
            raise ValueError(
                "expected a model with parameters to train, got none that can be found; pass the "
                "module, or a function that holds the module, and call requires_grad_() on the "
                "module; for a module frozen by torch.jit.freeze, pass the module before freezing"
            )

    @property
    def first(self) -> Tensor:
        """An input that is differentiated."""
        return self.penalty.first(self.x, self.penalty.options)

    def evaluated(self, update: bool = False, **options: Any) -> Evaluated:
        """The penalty, as a step computes it, from the state before, and the model's output."""
        self.back()
        follow = self.penalty.for_loss(self.loss) | {"reduction": "mean"}
        kept = self.penalty.options | follow | options
        return self.penalty.evaluated(self.model, self.x, self.y, kept, update)

    def value(self) -> float:
        """The penalty as a number."""
        return float(self.evaluated().penalty.detach())

    def gradient(self, total: Tensor) -> dict[str, Tensor]:
        """The gradient in every parameter, zero where there is none; no `.grad` is touched."""
        found = torch.autograd.grad(
            total, list(self.parameters.values()), allow_unused=True, materialize_grads=True
        )
        return dict(zip(self.parameters, found, strict=True))

    def plain_loss(self, *, reads: bool) -> Tensor:
        """The loss of a pass without a penalty, from the state before."""
        self.back()
        output = Model(self.model, self.x)(by_name(self.x))
        return self._loss(output, reads)

    def plain_step(self) -> object:
        """Loss and backward pass without a penalty."""
        return self.gradient(self.plain_loss(reads=False))

    def step(self, mode: str) -> object:
        """Loss, penalty and backward pass, in one pass forward."""
        value, output, _ = self.evaluated(mode=mode, update=True)
        return self.gradient(self._loss(output, reads=False) + value)

    def _loss(self, output: Tensor, reads: bool) -> Tensor:
        """The training loss; without labels, another scalar to differentiate."""
        if self.y is None:
            return output.square().mean()
        return training_loss(output, self.y, self.loss, reads)

    def in_float64(self) -> "Subject":
        """The subject with its batch in float64; the caller converts the modules."""

        def double(t: Any) -> Any:
            return wide(t) if isinstance(t, Tensor) else t

        penalty = copy(self.penalty)  # which shares the generator
        penalty.options = {name: double(t) for name, t in penalty.options.items()}
        return replace(self, x=changed(self.x, double), y=double(self.y), penalty=penalty)
