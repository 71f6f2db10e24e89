"""A loss, and its ∂L/∂z of every example, never detached; formulas as in `gradreg_ref.losses`."""

from math import isfinite
from typing import Any

import torch
from torch import Tensor

from gradreg_torch import _arguments
from gradreg_torch._engine import checks
from gradreg_torch._engine.graph import is_functional
from gradreg_torch._engine.sums import at_least_single, flat
from gradreg_torch._loss_trial import LossFunction, require_fit, total

_NO_LABEL = -(2**62)  # torch ignores -100 unless it is told another number
Loss = str | LossFunction


def _rows(y: Tensor, z: Tensor, reads: bool) -> Tensor:
    """Rows (n, m), which must be probabilities."""
    _arguments.same_device("y", y, z)
    if y.shape != z.shape:
        raise ValueError(
            f"expected y with shape ({z.shape[0]},) or {tuple(z.shape)}, got {tuple(y.shape)}"
        )
    if not y.is_floating_point():
        raise TypeError(f"expected probabilities of a real floating dtype, got {y.dtype}")
    checks.wide("probabilities", y.dtype)
    if reads and ((y < 0).any() or ((y.sum(dim=1) - 1).abs() > 1e-2).any()):
        raise ValueError("expected rows of y to be probabilities (>= 0, summing to 1)")
    return y.to(z.dtype)


def _targets(y: Any, z: Tensor) -> Tensor:
    """Regression targets of the shape of the outputs z (n, …)."""
    _arguments.same_device("y", y, z)
    if y.shape != z.shape:
        raise ValueError(
            f"expected y with shape {tuple(z.shape)} like the outputs, got {tuple(y.shape)}; "
            "broadcasting would compare every example with every other"
        )
    if not y.is_floating_point():
        hint = "outputs and y by torch.view_as_real" if y.is_complex() else "it with y.float()"
        raise TypeError(f"expected y of a real floating dtype, got {y.dtype}; convert {hint}")
    checks.wide("y", y.dtype)
    return y


def _cross_entropy(output: Tensor, y: Any, reads: bool) -> Tensor:
    """Compute the batch mean of L = −Σ_k y_k log p_k."""
    z = _arguments.classes(output)
    if isinstance(y, Tensor) and y.ndim == 2:
        return torch.nn.functional.cross_entropy(z, _rows(y, z, reads))
    y = _arguments.labels(y, z, reads and not z.is_cpu)  # on the CPU torch looks at their range
    try:
        return torch.nn.functional.cross_entropy(z, y, ignore_index=_NO_LABEL)
    except IndexError:
        _arguments.labels(y, z, reads=True)
        raise


def _cross_entropy_gradient(output: Tensor, y: Any, reads: bool) -> Tensor:
    """∂L/∂z = p Σ_k y_k − y, which is p − y where y sums to one; shape (n, k)."""
    z = _arguments.classes(output)
    p = at_least_single(z).softmax(dim=1)
    if not isinstance(y, Tensor) or y.ndim != 2:
        y = _arguments.labels(y, z, reads)
        return p - torch.nn.functional.one_hot(y, z.shape[1]).to(p.dtype)
    rows = at_least_single(_rows(y, z, reads))
    return p * rows.sum(dim=1, keepdim=True) - rows


def _mean_squared_error(output: Tensor, y: Any, reads: bool) -> Tensor:
    """Compute the batch mean of L = (1/m) Σ_k (z_k − y_k)²: no ½, the mean over outputs."""
    del reads
    return (output - _targets(y, output)).square().mean()


def _mean_squared_error_gradient(output: Tensor, y: Any, reads: bool) -> Tensor:
    """∂L/∂z = 2 (z − y) / m; shape (n, k)."""
    del reads
    residual = flat(output - _targets(y, output))
    return 2 * residual / residual.shape[1]


_LOSSES = {
    "cross_entropy": (_cross_entropy, _cross_entropy_gradient),
    "mean_squared_error": (_mean_squared_error, _mean_squared_error_gradient),
}


def require_known(loss: Loss) -> None:
    """Raise ValueError unless a loss is a function or one of the known names."""
    if not callable(loss):
        checks.choice("loss", loss, _LOSSES)


def loss_gradient(output: Tensor, y: Any, loss: Loss, reads: bool) -> Tensor:
    """∂L/∂z (n, k) of a loss by name, or of any loss (outputs, y) ↦ (n,) by differentiation."""
    if callable(loss):
        return flat(_loss_derivative(output, y, loss))
    return _LOSSES[loss][1](output, y, reads)


def _loss_derivative(output: Tensor, y: Any, loss: LossFunction) -> Tensor:
    """∂L/∂z of any loss (outputs, y) ↦ (n,)."""
    if is_functional():  # where autograd.grad is refused
        return torch.func.grad(total)(output, y, loss)
    require_fit(output, y, loss)
    (R,) = torch.autograd.grad(total(output, y, loss), output, create_graph=True)
    return R


def training_loss(output: Tensor, y: Any, loss: Loss, reads: bool) -> Tensor:
    """The batch mean of a loss by name, or the scalar of any loss (outputs, y) ↦ ()."""
    if not callable(loss):
        require_known(loss)
        return _LOSSES[loss][0](output, y, reads)
    value = loss(output, y)
    if not isinstance(value, Tensor) or value.ndim != 0:
        raise ValueError("expected the training loss to be a scalar; take its batch mean")
    if output.requires_grad and not value.requires_grad:
        raise ValueError(
            "expected a training loss with a graph, got one that requires no grad; look for "
            "detach(), no_grad or item() in the loss"
        )
    if reads and not isfinite(value.detach()):
        raise ValueError(
            "expected a finite training loss, got NaN or infinity at finite logits; look for a "
            "logarithm or a division at 0 in the loss, or for a batch of ignored labels only"
        )
    return value
