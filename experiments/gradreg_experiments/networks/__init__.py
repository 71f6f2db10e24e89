"""The networks of the paper, in torch, initialised from a generator."""

from gradreg_experiments.networks.build import NETWORKS, Architecture, build

__all__ = ["NETWORKS", "Architecture", "build"]
