"""torch behind the protocol, and networks of the reference as modules and back."""

from gradreg_verify.frameworks.torch.convert import to_torch
from gradreg_verify.frameworks.torch.layers import from_torch

__all__ = ["from_torch", "to_torch"]
