"""Wrong ways to ‖Jᵀr‖² at right probes."""

from functools import partial

import torch
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import own, projected, squares, vjp, wrong

spectreg = partial(wrong, kind="spectreg")


@spectreg("spectreg-quadratic-form", "value", "½‖Jᵀr‖²", "facebookresearch/jacobian_regularizer")
def a_hidden_half(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, torch.randn_like).mean() / 2


@spectreg("spectreg-quadratic-form", "value", "‖Jᵀr‖", "the norm, not its square")
def the_norm_itself(model: nn.Module, x: Tensor) -> Tensor:
    return (projected(model, x, torch.randn_like) + 1e-300).sqrt().mean()


@spectreg("spectreg-quadratic-form", "value", "‖(∂p/∂x)ᵀr‖²", "models that end in a softmax")
def of_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    p = model(x).softmax(1)
    return squares(vjp(p, x, torch.randn_like(p))).mean()


@spectreg(
    "spectreg-quadratic-form", "value", "‖(∂ log p/∂x)ᵀr‖²", "models that end in a log-softmax"
)
def of_log_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    p = model(x).log_softmax(1)
    return squares(vjp(p, x, torch.randn_like(p))).mean()


@spectreg("spectreg-unbiased", "value", "(1/m)‖Jᵀr‖²", "(z * r).mean(1) for the sum")
def projection_by_a_mean(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, torch.randn_like(z))).mean() / z.shape[1]


@spectreg("training-gradient", "gradient", "‖Jᵀr‖², ∇ = 0", "create_graph forgotten")
def no_create_graph(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, torch.randn_like(z), create_graph=False)).mean()


@spectreg("training-gradient", "gradient", "½∇‖Jᵀr‖²", "v·v.detach()")
def one_factor_detached(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    v = vjp(z, x, torch.randn_like(z))
    return (v * v.detach()).sum(1).mean()


@spectreg(
    "values-per-example", "batch", "(1/B²) Σ_b ‖J_bᵀr_b‖²", "(z * r).sum(1).mean() differentiated"
)
def derivative_of_a_batch_mean(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: torch.randn_like(z) / len(z)).sum()


@spectreg("values-per-example", "batch", "‖Σ_b J_bᵀr_b‖² / B", "gradients summed, then squared")
def gradient_summed_over_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return vjp(z, x, torch.randn_like(z)).sum(0).square().sum() / len(z)


@spectreg("values-per-example", "shape", "raises for m ≠ 10", "randn(B, 10)")
def probes_for_ten_classes(model: nn.Module, x: Tensor) -> Tensor:
    return projected(
        model, x, lambda z: torch.randn(len(z), 10, dtype=z.dtype, device=z.device)
    ).mean()
