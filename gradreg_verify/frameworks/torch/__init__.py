"""torch behind the protocol, and networks of the reference as modules and back."""

from gradreg_verify.frameworks.torch.convert import from_torch, to_torch

__all__ = ["from_torch", "to_torch"]
