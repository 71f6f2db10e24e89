"""The networks of the paper, in torch, initialised from a generator."""

from gradreg_experiments.networks.build import LAYOUTS, NETWORKS, Architecture, build

__all__ = ["LAYOUTS", "NETWORKS", "Architecture", "build"]
