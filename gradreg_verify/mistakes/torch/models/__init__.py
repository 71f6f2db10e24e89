"""Models for `gradreg_torch.check_model`: some with a fault, and odd ones that are right."""

from gradreg_verify.mistakes.torch.models.model import Model
from gradreg_verify.mistakes.torch.models.right import RIGHT
from gradreg_verify.mistakes.torch.models.wrong import WRONG

__all__ = ["RIGHT", "WRONG", "Model"]
