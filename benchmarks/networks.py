"""The networks of the benchmarks: nothing but torch."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn


class Residual(nn.Module):
    """x + conv-norm-ReLU-conv-norm, halving the image where channels grow."""

    def __init__(self, i: int, o: int) -> None:
        super().__init__()
        stride = 1 if i == o else 2
        self.body = nn.Sequential(
            nn.Conv2d(i, o, 3, stride, 1, bias=False),
            nn.BatchNorm2d(o),
            nn.ReLU(),
            nn.Conv2d(o, o, 3, 1, 1, bias=False),
            nn.BatchNorm2d(o),
        )
        self.skip = nn.Identity() if i == o else nn.Conv2d(i, o, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, o, …)."""
        return torch.relu(self.body(x) + self.skip(x))


class VisionTransformer(nn.Module):
    """Patches of 4 × 4, four layers, mean over tokens."""

    def __init__(self, m: int, width: int = 64) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, width, 4, 4)
        self.places = nn.Parameter(0.02 * torch.randn(64, width))
        layer = nn.TransformerEncoderLayer(width, 4, 2 * width, 0.0, "gelu", batch_first=True)
        self.encoder = nn.TransformerEncoder(layer, 4, enable_nested_tensor=False)
        self.head = nn.Linear(width, m)

    def forward(self, x: Tensor) -> Tensor:
        """Logits (n, m) of images (n, 3, 32, 32)."""
        tokens = self.patches(x).flatten(2).transpose(1, 2) + self.places
        return self.head(self.encoder(tokens).mean(1))


def mlp(m: int) -> nn.Module:
    """784-1024-1024-m."""
    return nn.Sequential(
        nn.Linear(784, 1024), nn.ReLU(), nn.Linear(1024, 1024), nn.ReLU(), nn.Linear(1024, m)
    )


def lenet(m: int) -> nn.Module:
    """Build the paper's LeNet: 20 and 50 filters of 5 × 5, 500 units."""
    return nn.Sequential(
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2), nn.Conv2d(20, 50, 5), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(800, 500), nn.ReLU(), nn.Linear(500, m),
    )  # fmt: skip


def residual_net(m: int) -> nn.Module:
    """Three groups of three blocks, 16 to 64 channels, batch norm."""
    channels = (16,) * 4 + (32,) * 3 + (64,) * 3
    blocks = [Residual(i, o) for i, o in pairwise(channels)]
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU(), *blocks,
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, m),
    )  # fmt: skip


@dataclass(frozen=True)
class Subject:
    """A network by its maker, the shape of an example, and the batch size."""

    make: Callable[[int], nn.Module]
    shape: tuple[int, ...]
    batch: int


SUBJECTS = {
    "MLP": Subject(mlp, (784,), 256),
    "LeNet": Subject(lenet, (1, 28, 28), 50),
    "residual net": Subject(residual_net, (3, 32, 32), 64),
    "vision transformer": Subject(VisionTransformer, (3, 32, 32), 64),
}
