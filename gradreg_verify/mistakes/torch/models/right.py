"""Models that look odd and are right: `check_model` must stay green."""

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.models.model import Model, Of, mlp


class Residual(nn.Module):
    """A block with batch norm and a sum."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.norms = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.a, self.b = self.norms
        self.body, self.last = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 3)

    def forward(self, x: Tensor) -> Any:
        """Logits of images."""
        h = F.relu(self.a(self.conv(x)))
        h = F.relu(h + self.b(self.body(h)))
        return self.last(h.mean((2, 3)))


class Transformer(nn.Module):
    """One encoder block, in training mode."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
        self.last = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Any:
        """Logits of embeddings (n, t, 4)."""
        return self.last(self.layer(x).mean(1))


class Shared(nn.Module):
    """One layer used three times, and its weight once more, transposed."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.last = nn.Linear(4, 4), nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        h = x
        for _ in range(3):
            h = torch.tanh(self.one(h))
        return self.last(h @ self.one.weight)


class FrozenBatchNorm(nn.Module):
    """A first layer that is frozen, and batch norm kept in evaluation mode."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.norm = nn.Linear(4, 5).requires_grad_(False), nn.BatchNorm1d(5).eval()
        self.last = nn.Sequential(nn.Linear(5, 5), nn.Tanh(), nn.Linear(5, 3))

    def forward(self, x: Tensor) -> Any:
        """Logits."""
        return self.last(self.norm(torch.tanh(self.first(x))))


def lenet() -> nn.Sequential:
    """Convolution, ReLU, pool."""
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3))
    )


def zero_at_first() -> nn.Sequential:
    """A last layer of zeros: J is zero until the loss has moved it."""
    last = nn.Linear(5, 3)
    for p in last.parameters():
        nn.init.zeros_(p)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), last)


def last_of(layer: type[nn.Module]) -> nn.Sequential:
    """A recurrent layer, batch first, and its last output."""
    return nn.Sequential(layer(4, 5, batch_first=True), Of(lambda h: h[0][:, -1, :3]))


RIGHT = (
    Model("LeNet", lenet, (1, 6, 6)),
    Model("residual net with batch norm", Residual, (1, 6, 6)),
    Model("transformer block", Transformer, (5, 4)),
    Model("dropout", lambda: mlp(nn.Dropout())),
    Model("cosine", lambda: mlp(torch.cos)),
    Model("GRU", lambda: last_of(nn.GRU), (7, 4)),
    Model("LSTM, batch first", lambda: last_of(nn.LSTM), (7, 4)),
    Model("one layer used three times", Shared),
    Model("frozen layers", FrozenBatchNorm),
    Model("a last layer of zeros", zero_at_first),
    Model("gated by where", lambda: mlp(lambda h: torch.where(h > 0, h.sin(), 0.1 * h * h))),
)
