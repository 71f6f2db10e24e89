"""torch behind the protocol, and networks of the reference as modules."""

from gradreg_verify.frameworks.torch.convert import to_torch
from gradreg_verify.frameworks.torch.settings import one_thread

__all__ = ["one_thread", "to_torch"]
