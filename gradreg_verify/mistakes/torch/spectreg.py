"""Wrong ways to ‖Jᵀr‖² at right probes."""

from functools import partial
from math import sqrt

import torch
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import along, projected, softmax, squares, wrong

spectreg = partial(wrong, "spectreg")


@spectreg("value", "½‖Jᵀr‖²", "facebookresearch/jacobian_regularizer")
def a_hidden_half(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, torch.randn_like).mean() / 2


@spectreg("value", "‖Jᵀr‖", "the norm, not its square")
def the_norm_itself(model: nn.Module, x: Tensor) -> Tensor:
    return (projected(model, x, torch.randn_like) + 1e-300).sqrt().mean()


@spectreg("value", "‖(∂p/∂x)ᵀr‖²", "models that end in a softmax")
def of_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, torch.randn_like, softmax).mean()


@spectreg("value", "‖(∂ log p/∂x)ᵀr‖²", "models that end in a log-softmax")
def of_log_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, torch.randn_like, lambda z: z.log_softmax(1)).mean()


@spectreg("value", "(1/m)‖Jᵀr‖²", "(z * r).mean(1) for the sum", "spectreg-unbiased")
def projection_by_a_mean(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: torch.randn_like(z) / sqrt(z.shape[1])).mean()


@spectreg("gradient", "‖Jᵀr‖², ∇ = 0", "create_graph forgotten")
def no_create_graph(model: nn.Module, x: Tensor) -> Tensor:
    return squares(along(model, x, torch.randn_like, create_graph=False)).mean()


@spectreg("gradient", "½∇‖Jᵀr‖²", "v·v.detach()")
def one_factor_detached(model: nn.Module, x: Tensor) -> Tensor:
    v = along(model, x, torch.randn_like)
    return (v * v.detach()).sum(1).mean()


@spectreg("batch", "(1/B²) Σ_b ‖J_bᵀr_b‖²", "(z * r).sum(1).mean() differentiated")
def derivative_of_a_batch_mean(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: torch.randn_like(z) / len(z)).sum()


@spectreg("batch", "‖Σ_b J_bᵀr_b‖² / B", "gradients summed, then squared")
def gradient_summed_over_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    return along(model, x, torch.randn_like).sum(0).square().sum() / len(x)


@spectreg("shape", "raises for m ≠ 10", "randn(B, 10)")
def probes_for_ten_classes(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: torch.randn(len(z), 10).to(z)).mean()
