"""Wrong ways to JacReg, ‖∂p/∂x‖²_F, to the confidence penalty, Σ p log p, and to weight decay."""

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import (
    exact,
    gradient,
    half_softmax,
    own,
    projected,
    rows,
    softmax,
    squares,
    wrong,
)

jacreg = partial(wrong, "jacreg")
confidence_penalty = partial(wrong, "confidence_penalty")
weight_decay = partial(wrong, "weight_decay")


def softmax_jacobian(p: Tensor) -> Tensor:
    """diag(p) − ppᵀ."""
    return torch.diag_embed(p) - p[:, :, None] * p[:, None, :]


def squared_weights(model: nn.Module, kept: Callable[[Tensor], bool]) -> Tensor:
    """Σ W² of the parameters kept."""
    return sum((W.square().sum() for W in model.parameters() if kept(W)), torch.zeros(()))


@jacreg("value", "‖(∂p/∂x)ᵀ1‖² = 0", "the gradient of p.sum()")
def gradient_of_the_sum_of_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    return squares(gradient(model, x, lambda z: softmax(z).sum())).mean()


@jacreg("value", "rows with p < 10⁻⁶ constant", "softmax(1).clamp_min(1e-6)")
def probabilities_clamped(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x, lambda z: softmax(z).clamp_min(1e-6)).mean()


@jacreg("value", "rows with p < 10⁻¹² constant", "softmax(1).clamp_min(1e-12)")
def tiny_probabilities_clamped(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x, lambda z: softmax(z).clamp_min(1e-12)).mean()


@jacreg("value", "z within ±50", "a clamp before exp", "training-gradient")
def logits_clamped(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x, lambda z: softmax(z.clamp(-50, 50))).mean()


@jacreg("gradient", "S constant", "p.detach()", "jacreg-formula")
def p_detached(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(softmax_jacobian(softmax(z).detach()) @ rows(z, x)).mean()


@jacreg("gradient", "S constant", "p.detach(), projected", "jacreg-formula", probe="gaussian")
def p_detached_in_the_projection(model: nn.Module, x: Tensor) -> Tensor:
    def S_r(z: Tensor) -> Tensor:
        return (softmax_jacobian(softmax(z).detach()) @ torch.randn_like(z)[:, :, None])[:, :, 0]

    return projected(model, x, S_r).mean()


@jacreg("dtype", "p in float16", "softmax under autocast")
def softmax_in_half_precision(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x, half_softmax).mean()


@jacreg("sampler", "one r for the batch", "randn(m)", probe="gaussian")
def one_probe_for_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda p: torch.randn_like(p[:1]), softmax).mean()


@confidence_penalty("value", "Σ p log(p + 10⁻⁶)", "an epsilon against log 0")
def an_epsilon(logits: Tensor) -> Tensor:
    p = softmax(logits)
    return (p * (p + 1e-6).log()).sum(1).mean()


@confidence_penalty("value", "Σ p log max(p, 10⁻⁸)", "clamp_min(1e-8) against log 0")
def a_floor(logits: Tensor) -> Tensor:
    p = softmax(logits)
    return (p * p.clamp_min(1e-8).log()).sum(1).mean()


@confidence_penalty("value", "Σ p log max(p, 10⁻¹²)", "clamp_min(1e-12) against log 0")
def a_low_floor(logits: Tensor) -> Tensor:
    p = softmax(logits)
    return (p * p.clamp_min(1e-12).log()).sum(1).mean()


@confidence_penalty("value", "Σ p log₂ p", "bits")
def in_bits(logits: Tensor) -> Tensor:
    p = softmax(logits)
    return (p * p.clamp_min(1e-300).log2()).sum(1).mean()


@confidence_penalty("gradient", "p constant", "p.detach()", "confidence-penalty-formula")
def only_the_logarithm_differentiated(logits: Tensor) -> Tensor:
    return (softmax(logits).detach() * logits.log_softmax(1)).sum(1).mean()


@confidence_penalty(
    "dtype", "NaN for steep logits", "exp without its shift", "confidence-penalty-formula"
)
def overflowing(logits: Tensor) -> Tensor:
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    return (p * p.log()).sum(1).mean()


@weight_decay("value", "½Σ‖W‖²", "the authors' scripts")
def half_of_it(model: nn.Module) -> Tensor:
    return squared_weights(model, lambda W: W.ndim > 1) / 2


@weight_decay("gradient", "Σ‖W‖² of W.data", "the values of a constant", "weight-decay-formula")
def of_the_data(model: nn.Module) -> Tensor:
    total = squared_weights(model, lambda W: W.ndim > 1).detach()
    return total + 0 * sum(p.sum() for p in model.parameters())


@weight_decay("shape", "filters left out", "W.ndim == 2", "weight-decay-formula")
def matrices_only(model: nn.Module) -> Tensor:
    return squared_weights(model, lambda W: W.ndim == 2)
