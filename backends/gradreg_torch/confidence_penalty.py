"""Confidence penalty: the negative entropy of the predicted distribution."""

import torch
from torch import Tensor

from gradreg_torch import _arguments
from gradreg_torch._engine import checks
from gradreg_torch._engine.call import reads_values
from gradreg_torch._engine.graph import is_functional
from gradreg_torch._engine.inputs import require_differentiable
from gradreg_torch._engine.outputs import require_finite
from gradreg_torch._engine.sums import REDUCTIONS, at_least_single, reduce


def confidence_penalty(
    logits: Tensor, *, reduction: str = "mean", check_values: bool | None = None
) -> Tensor:
    """Compute Σ_k p_k log p_k, the negative entropy of p = softmax(z).

    This is no gradient penalty. It is here because the paper compares with it.

    Parameters
    ----------
    logits : Tensor (n, k)
        The network's outputs z.
    reduction : {"mean", "sum", "none"}
        Mean or sum over the batch, or one value per example. The authors' scripts use the sum.
    check_values : bool, optional
        As in `frobreg`.

    Returns
    -------
    Tensor () or (n,)
        Natural logarithm; between −log m (uniform) and 0 (certain).

    Raises
    ------
    ValueError, TypeError
        Not a floating tensor (n, k) with n >= 1, k >= 2.

    References
    ----------
    Pereyra et al., "Regularizing neural networks by penalizing confident output distributions"
    (2017); Varga, Csiszárik, Zombori (arXiv:1712.09936), CP.
    """
    if not isinstance(logits, Tensor):
        raise TypeError(f"expected logits to be a tensor, got {type(logits).__name__}")
    functional = is_functional()
    require_differentiable("logits", logits, functional)
    _arguments.classes(logits)
    checks.choice("reduction", reduction, REDUCTIONS)
    if reads_values([logits], check_values, functional):
        require_finite("input", {"logits": logits})
    log_p = torch.log_softmax(at_least_single(logits), dim=1)
    return reduce((log_p.exp() * log_p).sum(dim=1), reduction)
