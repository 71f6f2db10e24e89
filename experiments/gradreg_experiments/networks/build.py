"""A network by its name."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from math import sqrt

import torch
from torch import nn

from gradreg_experiments.networks.layers import Block, GivenDropout
from gradreg_ref import checks

INITIALISATIONS = ("scripts", "he")


@dataclass(frozen=True)
class Architecture:
    """What data and run decide about a network.

    Parameters
    ----------
    shape : tuple of int
        Shape of an image, (c, h, w).
    classes : int
        m.
    rows : int
        Images that pass through the network in a training step.
    dropout, batch_norm : bool
        Whether the last hidden layer of the LeNet has them. The residual net has batch norm
        everywhere.
    width, blocks : int
        Size of the residual net: filters are (16, 32, 64) times the width; each level has so many
        blocks.
    halved : bool
        The residual net's first convolution has a stride of 2, as it has for images of 64 × 64.
    initialisation : {"scripts", "he"}
        See `draw`.
    """

    shape: tuple[int, int, int]
    classes: int
    rows: int
    dropout: bool = False
    batch_norm: bool = False
    width: int = 3
    blocks: int = 3
    halved: bool = False
    initialisation: str = "scripts"


def lenet(a: Architecture) -> nn.Sequential:
    """The LeNet of the scripts: 6, 16 and 120 filters of 5 × 5, 84 units; images of 28 × 28."""
    if a.shape[1:] != (28, 28) or (a.dropout and a.batch_norm):
        raise ValueError(
            "expected images of 28 × 28 and not both dropout and batch norm for the LeNet, got "
            f"{a.shape[1]} × {a.shape[2]}, dropout={a.dropout}, batch_norm={a.batch_norm}"
        )
    layers = list[nn.Module]()
    for (c, o), padding in zip(pairwise((a.shape[0], 6, 16, 120)), (2, 0, 0), strict=True):
        pool = [] if o == 120 else [nn.MaxPool2d(2)]
        layers += [nn.Conv2d(c, o, 5, padding=padding), nn.ReLU(), *pool]
    layers += [nn.Flatten(), nn.Linear(120, 84), nn.ReLU()]
    if a.dropout:
        layers.append(GivenDropout(a.rows, 84))
    if a.batch_norm:
        layers.append(nn.BatchNorm1d(84))
    return nn.Sequential(*layers, nn.Linear(84, a.classes))


def residual(a: Architecture) -> nn.Sequential:
    """Three levels of blocks with batch norm, shortcuts without weights, mean over pixels.

    The first convolution halves images of 64 × 64. That is our choice: the paper says nothing.
    """
    if min(a.shape[1:]) < 16 or a.dropout or not a.batch_norm:
        raise ValueError(
            "expected images of at least 16 × 16, batch_norm = true and no dropout for the "
            f"residual net, got {a.shape[1]} × {a.shape[2]}, dropout={a.dropout}, "
            f"batch_norm={a.batch_norm}"
        )
    stride = 2 if a.halved or min(a.shape[1:]) >= 64 else 1
    channels = 16 * a.width
    layers: list[nn.Module] = [
        nn.Conv2d(a.shape[0], channels, 3, stride, 1, bias=False),
        nn.BatchNorm2d(channels),
        nn.ReLU(),
    ]
    for level, out in enumerate((16 * a.width, 32 * a.width, 64 * a.width)):
        first = Block(channels, out, stride=2 if level else 1)
        layers += [first, *(Block(out, out) for _ in range(a.blocks - 1))]
        channels = out
    return nn.Sequential(
        *layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(channels, a.classes)
    )


NETWORKS: dict[str, Callable[[Architecture], nn.Sequential]] = {
    "lenet": lenet,
    "residual": residual,
}


def draw(layer: nn.Conv2d | nn.Linear, initialisation: str, generator: torch.Generator) -> None:
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


def build(name: str, architecture: Architecture, generator: torch.Generator) -> nn.Sequential:
    """A network with its weights drawn in float32, and biases 0.

    Channels come last in memory, since convolutions on a CPU are fast with that layout.
    """
    make = NETWORKS[checks.choice("network", name, NETWORKS)]
    checks.choice("initialisation", architecture.initialisation, INITIALISATIONS)
    with torch.random.fork_rng(devices=[]):  # torch's own initialisation draws from the global one
        network = make(architecture)
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            draw(layer, architecture.initialisation, generator)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
    for p in network.parameters():
        if p.ndim == 4:
            p.data = p.data.contiguous(memory_format=torch.channels_last)
    return network
