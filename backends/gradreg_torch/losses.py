"""The loss of one example and its ∂L/∂z, never detached; the formulas of `gradreg_ref.losses`."""

from typing import Any

import torch
from torch import Tensor

from gradreg_torch import checks
from gradreg_torch.forward_pass import ForwardPass
from gradreg_torch.sums import at_least_single

Loss = str | checks.LossFunction


def target_probabilities(y: Any, z: Tensor, reads: bool) -> Tensor:
    """Labels (n,) become onehot rows (n, m); rows (n, m) must be probabilities."""
    checks.same_device("y", y, z)
    if y.ndim != 2:
        return torch.nn.functional.one_hot(checks.labels(y, z, reads), z.shape[1]).to(z.dtype)
    if y.shape != z.shape:
        raise ValueError(
            f"expected y with shape ({z.shape[0]},) or {tuple(z.shape)}, got {tuple(y.shape)}"
        )
    if not y.is_floating_point():
        raise TypeError(f"expected probabilities of a floating dtype, got {y.dtype}")
    if reads and ((y < 0).any() or ((y.sum(dim=1) - 1).abs() > 1e-2).any()):
        raise ValueError("expected rows of y to be probabilities (>= 0, summing to 1)")
    return y.to(z.dtype)


def targets(y: Any, z: Tensor) -> Tensor:
    """Regression targets of the shape of the outputs z (n, …)."""
    checks.same_device("y", y, z)
    if y.shape != z.shape:
        raise ValueError(
            f"expected y with shape {tuple(z.shape)} like the outputs, got {tuple(y.shape)}; "
            "broadcasting would compare every example with every other"
        )
    if not y.is_floating_point():
        raise TypeError(f"expected y of a floating dtype, got {y.dtype}; convert it with y.float()")
    return y


def cross_entropy(f: ForwardPass, y: Any) -> Tensor:
    """L = −Σ_k y_k log p_k of every example, (n,)."""
    z = checks.rows_of_logits(f.output)
    checks.more_than_one_class(z)
    checks.same_device("y", y, z)
    if y.ndim != 2:
        y = checks.labels(y, z, f.check_values)
    else:
        y = target_probabilities(y, z, f.check_values)
    return torch.nn.functional.cross_entropy(z, y, reduction="none")


def cross_entropy_gradient(f: ForwardPass, y: Any) -> Tensor:
    """∂L/∂z = p Σ_k y_k − y, which is p − y where y sums to one; shape (n, k)."""
    z = checks.rows_of_logits(f.output)
    checks.more_than_one_class(z)
    y = at_least_single(target_probabilities(y, z, f.check_values))
    return at_least_single(z).softmax(dim=1) * y.sum(dim=1, keepdim=True) - y


def mean_squared_error(f: ForwardPass, y: Any) -> Tensor:
    """L = (1/m) Σ_k (z_k − y_k)² of every example, (n,). No ½: the mean over outputs."""
    return (f.output - targets(y, f.output)).reshape(f.logits.shape).square().mean(dim=1)


def mean_squared_error_gradient(f: ForwardPass, y: Any) -> Tensor:
    """∂L/∂z = 2 (z − y) / m; shape (n, k)."""
    return 2 * (f.output - targets(y, f.output)).reshape(f.logits.shape) / f.logits.shape[1]


LOSSES = {
    "cross_entropy": (cross_entropy, cross_entropy_gradient),
    "mean_squared_error": (mean_squared_error, mean_squared_error_gradient),
}


def loss_gradient(f: ForwardPass, y: Any, loss: Loss) -> Tensor:
    """∂L/∂z (n, k) of a loss by name, or of any loss (outputs, y) ↦ (n,) by differentiation."""
    if callable(loss):
        return loss_derivative(f, y, loss).reshape(f.logits.shape)
    return LOSSES[checks.choice("loss", loss, LOSSES)][1](f, y)


def loss_derivative(f: ForwardPass, y: Any, loss: checks.LossFunction) -> Tensor:
    """∂L/∂z of any loss (outputs, y) ↦ (n,)."""
    if torch.compiler.is_compiling():  # where autograd.grad is refused
        return torch.func.grad(total)(f.output, y, loss)
    (R,) = torch.autograd.grad(total(f.output, y, loss), f.output, create_graph=True)
    return R


def total(output: Tensor, y: Any, loss: checks.LossFunction) -> Tensor:
    """Σ L over the batch: one example's loss depends on its outputs alone."""
    return checks.per_example_loss(loss(output, y), output).sum()


def training_loss(f: ForwardPass, y: Any, loss: Loss) -> Tensor:
    """The batch mean of a loss by name, or the scalar of any loss (outputs, y) ↦ ()."""
    if not callable(loss):
        value = LOSSES[checks.choice("loss", loss, LOSSES)][0](f, y).mean()
    else:
        value = loss(f.output, y)
        if not isinstance(value, Tensor) or value.ndim != 0:
            raise ValueError("expected the training loss to be a scalar; take its batch mean")
    return value if f.create_graph else value.detach()
