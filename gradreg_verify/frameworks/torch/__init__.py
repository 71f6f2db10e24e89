"""torch behind the protocol, and networks of the reference as modules."""

from gradreg_verify.frameworks.torch.convert import to_torch

__all__ = ["to_torch"]
