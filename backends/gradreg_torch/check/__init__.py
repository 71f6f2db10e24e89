"""A penalty on your own model, tried before it trains: `check_model`."""

from gradreg_torch.check.model import check_model
from gradreg_torch.check.report import Finding, ModelReport

__all__ = ["Finding", "ModelReport", "check_model"]
