"""Models for `gradreg_torch.check_model`: faults that must turn it red, odd ones that must not."""

from gradreg_verify.mistakes.torch.models.model import Model
from gradreg_verify.mistakes.torch.models.right import RIGHT
from gradreg_verify.mistakes.torch.models.wrong import WRONG

__all__ = ["RIGHT", "WRONG", "Model"]
