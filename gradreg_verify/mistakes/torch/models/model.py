"""A model of the catalogue, and what `gradreg_torch.check_model` must say of it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from gradreg_torch import Penalty, SpectReg, check_model
from torch import Tensor, nn

N = 6
Y = torch.tensor([0, 1, 2, 0, 1, 2])


@dataclass(frozen=True)
class Model:
    """A model, a batch, and what the check must say of them.

    Parameters
    ----------
    name : str
        What it is.
    build : callable
        Makes the model.
    shape : tuple of int
        Of one example.
    line : str
        The line of the report that is wrong; "" for a model that is right.
    says : str
        What that line names.
    penalty : callable
        Makes the penalty that is checked.
    """

    name: str
    build: Callable[[], Callable[..., Any]]
    shape: tuple[int, ...] = (4,)
    line: str = ""
    says: str = ""
    penalty: Callable[..., Penalty] = SpectReg

    def __str__(self) -> str:
        return self.name

    def made(self) -> tuple[Any, Tensor]:
        """The model and its inputs, the same at every call."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(0)
            return self.build(), torch.randn(N, *self.shape)

    def judged(self) -> tuple[bool, str]:
        """Whether the check says what it must, and what it says is wrong."""
        model, x = self.made()
        penalty = self.penalty()
        if isinstance(penalty, SpectReg):
            penalty = self.penalty(generator=torch.Generator().manual_seed(0))
        report = check_model(model, x, Y, penalty)
        red = [f for f in report.findings if f.right is False]
        named = any(f.name == self.line and self.says in f.text for f in red)
        gradient = any(f.name == "gradient" and f.right for f in report.findings)
        ok = named if self.line else report.ok and gradient
        return ok, "; ".join(f"{f.name}: {f.text}" for f in red)


class Net(nn.ModuleDict):
    """Layers by name, and the logits that a function makes with them."""

    def __init__(self, of: Callable[[Any, Any], Any], /, **layers: nn.Module) -> None:
        super().__init__(layers)
        self.of = of

    def forward(self, x: Any) -> Any:
        """The logits."""
        return self.of(self, x)


def of(f: Callable[[Any], Any]) -> Net:
    """A function as a module."""
    return Net(lambda _, x: f(x))


def mlp(middle: Callable[[Any], Any]) -> nn.Sequential:
    """Two layers, and something between them."""
    one = middle if isinstance(middle, nn.Module) else of(middle)
    return nn.Sequential(nn.Linear(4, 5), one, nn.Linear(5, 3))
