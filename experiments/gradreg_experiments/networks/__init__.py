"""The networks of the paper, in torch, initialised from a generator."""

from gradreg_experiments.networks.build import build

__all__ = ["build"]
