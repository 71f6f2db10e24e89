"""Weight decay: the squared norm of filters and weight matrices."""

import torch
from torch import Tensor, nn

from gradreg_torch._engine import checks
from gradreg_torch._engine.call import reads_values
from gradreg_torch._engine.graph import is_functional
from gradreg_torch._engine.sums import at_least_single


def weight_decay(model: nn.Module) -> Tensor:
    """Compute Σ_W ‖W‖²_F over the model's weights and filters: no biases, no scales.

    This is no gradient penalty, but FrobReg generalises it: a linear model has J = W, so
    ``frobreg`` of a linear model is this number.

    Parameters
    ----------
    model : nn.Module
        Weight matrices and filters are the parameters with ndim >= 2 (embeddings among them).

    Returns
    -------
    Tensor ()
        Without a factor ½. The paper's weight decay, and an optimiser's ``weight_decay=``, are half
        of this.

    Raises
    ------
    ValueError, TypeError
        `model` is not a module, or has no weight matrices.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), WD and "smart weight decay".
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"expected model to be an nn.Module, got {type(model).__name__}")
    for name, W in model.named_parameters():
        if W.is_complex():
            raise TypeError(
                f"expected real weights, got {W.dtype} at {name!r}; for complex weights add "
                "torch.view_as_real(W).square().sum() to the loss yourself"
            )
        checks.wide(f"weight {name!r}", W.dtype)
    squares = [at_least_single(W).square().sum() for W in model.parameters() if W.ndim >= 2]
    if not squares:
        raise ValueError("expected a model with weights of two axes or more, got none")
    value = torch.stack(squares).sum()
    if reads_values([value], None, is_functional()):
        checks.finite_value(value)
    return value
