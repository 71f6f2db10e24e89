"""Small networks with hand-written values and hand-written full Jacobians."""

from gradreg_ref.networks.activation import Activation
from gradreg_ref.networks.linear import AvgPool2d, BatchNorm, Conv2d, Dropout, Flatten, Linear
from gradreg_ref.networks.maxpool import MaxPool2d
from gradreg_ref.networks.network import Layer, Network, Residual

__all__ = [
    "Activation",
    "AvgPool2d",
    "BatchNorm",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Layer",
    "Linear",
    "MaxPool2d",
    "Network",
    "Residual",
]
