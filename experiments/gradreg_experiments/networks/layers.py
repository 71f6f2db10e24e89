"""Layers that torch does not have: dropout with a given mask, a shortcut without weights."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

KEEP = 0.5


class GivenDropout(nn.Module):
    """x ⊙ k / ½ with a mask k ∈ {0, 1} that the training loop draws; in evaluation x.

    The dropout of torch draws from the global generator. Its masks would differ between penalties,
    and between networks trained one by one and stacked.

    Parameters
    ----------
    rows, width : int
        Shape of the mask: examples of a training batch, units.
    """

    mask: Tensor

    def __init__(self, rows: int, width: int) -> None:
        super().__init__()
        self.register_buffer("mask", torch.ones(rows, width), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """The first rows of the mask, for a part of a batch."""
        return x * self.mask[: len(x)] / KEEP if self.training else x


class Shortcut(nn.Module):
    """x, average-pooled where the block has a stride, with zeros for the new channels."""

    def __init__(self, extra: int, stride: int) -> None:
        super().__init__()
        self.extra, self.stride = extra, stride

    def forward(self, x: Tensor) -> Tensor:
        """(n, c, h, w) ↦ (n, c + extra, h / stride, w / stride)."""
        pooled = x if self.stride == 1 else F.avg_pool2d(x, self.stride)
        return F.pad(pooled, (0, 0, 0, 0, 0, self.extra))


class Block(nn.Module):
    """ReLU(x + conv-norm-ReLU-conv-norm), 3 × 3."""

    def __init__(self, channels: int, out: int, stride: int = 1) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            nn.Conv2d(channels, out, 3, stride, 1, bias=False),
            nn.BatchNorm2d(out),
            nn.ReLU(),
            nn.Conv2d(out, out, 3, 1, 1, bias=False),
            nn.BatchNorm2d(out),
        )
        self.shortcut = Shortcut(out - channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        """The block."""
        return F.relu(self.branch(x) + self.shortcut(x))
