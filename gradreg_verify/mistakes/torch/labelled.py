"""Wrong ways to DoubleBack, ‖∂L/∂x‖², and to Onehot, ‖Jᵀe_y‖²."""

from functools import partial
from math import sqrt

import torch.nn.functional as F
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import (
    Of,
    e_y,
    gradient,
    half_softmax,
    projected,
    softmax,
    squares,
    wrong,
)

doubleback = partial(wrong, "doubleback")
onehot = partial(wrong, "onehot")


def summed(y: Tensor, of: Of = lambda z: z, label_smoothing: float = 0.0) -> Of:
    """The cross-entropy of a batch, as a sum."""
    return lambda z: F.cross_entropy(of(z), y, reduction="sum", label_smoothing=label_smoothing)


@doubleback("value", "label smoothing 0.1", "the training loss, smoothed")
def smoothed_labels(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return squares(gradient(model, x, summed(y, label_smoothing=0.1))).mean()


@doubleback("value", "softmax taken twice", "models that end in a softmax")
def softmax_twice(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return squares(gradient(model, x, summed(y, softmax))).mean()


@doubleback("value", "p >= 10⁻¹²", "softmax(1).clamp_min(1e-12)")
def tiny_probabilities_clamped(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return projected(model, x, lambda z: softmax(z).clamp_min(1e-12) - e_y(y, z)).mean()


@doubleback("gradient", "‖Jᵀ(p − y)‖², p constant", "p.detach(), or under no_grad",
            "doubleback-formula")  # fmt: skip
def p_detached(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return projected(model, x, lambda z: softmax(z).detach() - e_y(y, z)).mean()


@doubleback("batch", "(1/B²) of the mean", "F.cross_entropy's mean differentiated")
def loss_of_the_batch_mean(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return squares(gradient(model, x, lambda z: F.cross_entropy(z, y))).mean()


@doubleback("batch", "‖Σ_b ∂L_b/∂x_b‖² / B", "summed, then squared")
def summed_before_squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return gradient(model, x, summed(y)).sum(0).square().sum() / len(x)


@doubleback("dtype", "p in float16", "softmax under autocast")
def softmax_in_half_precision(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return projected(model, x, lambda z: half_softmax(z) - e_y(y, z)).mean()


@onehot("value", "m ‖Jᵀe_y‖²", "Random onehot's factor")
def times_m(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return projected(model, x, lambda z: sqrt(z.shape[1]) * e_y(y, z)).mean()


@onehot("batch", "‖Σ_b J_bᵀe_y‖² / B", "summed, then squared")
def onehot_summed_before_squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    g = gradient(model, x, lambda z: z.gather(1, y[:, None]).sum())
    return g.sum(0).square().sum() / len(x)
