"""The networks of the paper, in torch, initialised from a generator."""

from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradreg_experiments.data import Split

if TYPE_CHECKING:  # a run is trained with a network
    from gradreg_experiments.runs.description import Run

_Shape = tuple[int, ...]  # of an image, (c, h, w)
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


def shortcut(x: Tensor, extra: int, stride: int) -> Tensor:
    """(n, c, h, w) ↦ (n, c + extra, h / stride, w / stride): average-pooled, with zeros added."""
    pooled = x if stride == 1 else F.avg_pool2d(x, stride)
    return F.pad(pooled, (0, 0, 0, 0, 0, extra))


class _Block(nn.Module):
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
        self.extra, self.stride = out - channels, stride

    def forward(self, x: Tensor) -> Tensor:
        """The block."""
        return F.relu(self.branch(x) + shortcut(x, self.extra, self.stride))


def _lenet(run: "Run", shape: _Shape, rows: int, classes: int) -> nn.Sequential:
    """The LeNet of the scripts: 6, 16 and 120 filters of 5 × 5, 84 units; images of 28 × 28."""
    if shape[1:] != (28, 28) or (run.dropout and run.batch_norm):
        raise ValueError(
            "expected images of 28 × 28 and not both dropout and batch norm for the LeNet, got "
            f"{shape[1]} × {shape[2]}, dropout={run.dropout}, batch_norm={run.batch_norm}"
        )
    layers = list[nn.Module]()
    for (c, o), padding in zip(pairwise((shape[0], 6, 16, 120)), (2, 0, 0), strict=True):
        pool = [] if o == 120 else [nn.MaxPool2d(2)]
        layers += [nn.Conv2d(c, o, 5, padding=padding), nn.ReLU(), *pool]
    layers += [nn.Flatten(), nn.Linear(120, 84), nn.ReLU()]
    if run.dropout:
        layers.append(GivenDropout(rows, 84))
    if run.batch_norm:
        layers.append(nn.BatchNorm1d(84))
    return nn.Sequential(*layers, nn.Linear(84, classes))


def _residual(run: "Run", shape: _Shape, _: int, classes: int) -> nn.Sequential:
    """Three levels of blocks with batch norm, shortcuts without weights, mean over pixels.

    The first convolution halves images of 64 × 64. That is our choice: the paper says nothing.
    """
    if min(shape[1:]) < 16 or run.dropout or not run.batch_norm:
        raise ValueError(
            "expected images of at least 16 × 16, batch_norm = true and no dropout for the "
            f"residual net, got {shape[1]} × {shape[2]}, dropout={run.dropout}, "
            f"batch_norm={run.batch_norm}"
        )
    stride = 2 if run.halved or min(shape[1:]) >= 64 else 1
    channels = 16 * run.width
    layers: list[nn.Module] = [
        nn.Conv2d(shape[0], channels, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]
    for level, out in enumerate((16 * run.width, 32 * run.width, 64 * run.width)):
        first = _Block(channels, out, stride=2 if level else 1)
        layers += [first, *(_Block(out, out) for _ in range(run.blocks - 1))]
        channels = out
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, classes)
    )


def _draw(layer: nn.Conv2d | nn.Linear, initialisation: str, generator: torch.Generator) -> None:
    """Fill the weight of a layer by the law of the paper's scripts, or by He's law.

    "scripts": uniform, of variance 4 / (fan-in + fan-out) for filters and 2 / (fan-in + fan-out)
    for matrices (Glorot and Bengio 2010; twice that for filters, as a ReLU follows), with
    fan-out = outputs · height · width / stride². "he": N(0, 2 / fan-in) (He et al. 2015), which
    makes the Jacobian of the LeNet several times larger.
    """
    weight = layer.weight
    if initialisation == "he":
        nn.init.kaiming_normal_(weight, nonlinearity="relu", generator=generator)
        return
    fan_in, fan_out, gain = weight[0].numel(), float(weight[:, 0].numel()), 1.0
    if isinstance(layer, nn.Conv2d):
        fan_out, gain = fan_out / (layer.stride[0] * layer.stride[1]), sqrt(2)
    sd = gain * sqrt(2 / (fan_in + fan_out))
    nn.init.uniform_(weight, -sqrt(3) * sd, sqrt(3) * sd, generator=generator)


def build(run: "Run", parts: Split, rows: int, generator: torch.Generator) -> nn.Sequential:
    """A network with its weights drawn in float32, and biases 0.

    Channels come last in memory, since convolutions on a CPU are fast with that layout.

    Parameters
    ----------
    run : Run
        Which network, and the choices of the run about the network.
    parts : Split
        The images, whose shape and classes the network has.
    rows : int
        Images that pass through the network in a training step.
    generator : torch.Generator
        Draws the weights.
    """
    shape, make = parts.train_images.shape[1:], _lenet if run.network == "lenet" else _residual
    with torch.random.fork_rng(devices=[]):  # torch's own initialisation draws from the global one
        network = make(run, shape, rows, len(parts.classes))
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            _draw(layer, run.initialisation, generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for p in network.parameters():
        if p.ndim == 4:
            p.data = p.data.contiguous(memory_format=torch.channels_last)
    return network
