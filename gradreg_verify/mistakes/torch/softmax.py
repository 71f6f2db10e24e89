"""Wrong ways to JacReg, ‖∂p/∂x‖²_F, to the confidence penalty, Σ p log p, and to weight decay."""

from functools import partial

import torch
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import exact, own, rows, squares, vjp, wrong

jacreg = partial(wrong, kind="jacreg")
confidence_penalty = partial(wrong, kind="confidence_penalty")
weight_decay = partial(wrong, kind="weight_decay")


def softmax_jacobian(p: Tensor, sign: float = -1.0) -> Tensor:
    """diag(p) − ppᵀ."""
    return torch.diag_embed(p) + sign * p[:, :, None] * p[:, None, :]


@jacreg("jacreg-formula", "value", "½‖∂p/∂x‖²_F", "facebookresearch/jacobian_regularizer")
def a_hidden_half(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x).softmax(1), x)).mean() / 2


@jacreg("jacreg-formula", "value", "‖∂ log p/∂x‖²_F", "log_softmax for softmax")
def of_log_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x).log_softmax(1), x)).mean()


@jacreg("jacreg-formula", "value", "‖J‖²_F", "the softmax forgotten")
def of_logits(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean()


@jacreg("jacreg-formula", "value", "‖diag(p) J‖²_F", "ppᵀ forgotten")
def without_the_outer_product(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(z.softmax(1)[:, :, None] * rows(z, x)).mean()


@jacreg("jacreg-formula", "value", "‖(diag p + ppᵀ)J‖²_F", "a sign")
def plus_the_outer_product(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(softmax_jacobian(z.softmax(1), 1.0) @ rows(z, x)).mean()


@jacreg("jacreg-formula", "value", "‖(∂p/∂x)ᵀ1‖² = 0", "the gradient of p.sum()")
def gradient_of_the_sum_of_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    (g,) = torch.autograd.grad(model(x).softmax(1).sum(), x, create_graph=True)
    return squares(g).mean()


@jacreg("jacreg-formula", "gradient", "S constant", "p.detach()")
def p_detached(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(softmax_jacobian(z.softmax(1).detach()) @ rows(z, x)).mean()


@jacreg("jacreg-formula", "gradient", "S constant", "p.detach(), projected", probe="gaussian")
def p_detached_in_the_projection(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    S_r = softmax_jacobian(z.softmax(1).detach()) @ torch.randn_like(z)[:, :, None]
    return squares(vjp(z, x, S_r[:, :, 0])).mean()


@jacreg("values-per-example", "batch", "sum for mean", "a reduction")
def sum_for_mean(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x).softmax(1), x)).sum()


@jacreg("jacreg-formula", "shape", "Σ_{k<m} ‖∂p_k/∂x‖²", "the last class, as it is 1 − the others")
def the_last_class_dropped(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    p = model(x).softmax(1)
    return squares(rows(p[:, : max(1, p.shape[1] - 1)], x)).mean()


@jacreg("rounding-bounded", "dtype", "p in float16", "softmax under autocast")
def softmax_in_half_precision(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    p = z.half().softmax(1).to(z.dtype) if z.dtype == torch.float32 else z.softmax(1)
    return squares(rows(p, x)).mean()


@jacreg("probe-law", "sampler", "one r for the batch", "randn(m)", probe="gaussian")
def one_probe_for_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    p = model(x).softmax(1)
    return squares(vjp(p, x, torch.randn_like(p[:1]))).mean()


@confidence_penalty("confidence-penalty-formula", "value", "−Σ p log p", "the entropy itself")
def the_entropy(logits: Tensor) -> Tensor:
    return -(logits.softmax(1) * logits.log_softmax(1)).sum(1).mean()


@confidence_penalty(
    "confidence-penalty-formula", "value", "Σ p log(p + 10⁻⁶)", "an epsilon against log 0"
)
def an_epsilon(logits: Tensor) -> Tensor:
    p = logits.softmax(1)
    return (p * (p + 1e-6).log()).sum(1).mean()


@confidence_penalty("confidence-penalty-formula", "value", "Σ p log₂ p", "bits")
def in_bits(logits: Tensor) -> Tensor:
    p = logits.softmax(1)
    return (p * p.clamp_min(1e-300).log2()).sum(1).mean()


@confidence_penalty("confidence-penalty-formula", "gradient", "p constant", "p.detach()")
def only_the_logarithm_differentiated(logits: Tensor) -> Tensor:
    return (logits.softmax(1).detach() * logits.log_softmax(1)).sum(1).mean()


@confidence_penalty(
    "values-per-example", "batch", "Σ over batch and classes", "the authors' scripts"
)
def sum_over_the_batch(logits: Tensor) -> Tensor:
    return (logits.softmax(1) * logits.log_softmax(1)).sum()


@confidence_penalty("values-per-example", "dtype", "NaN for steep logits", "exp without its shift")
def overflowing(logits: Tensor) -> Tensor:
    p = logits.exp() / logits.exp().sum(1, keepdim=True)
    return (p * p.log()).sum(1).mean()


@weight_decay("weight-decay-formula", "value", "½Σ‖W‖²", "the authors' scripts")
def half_of_it(model: nn.Module) -> Tensor:
    return sum((W.square().sum() for W in model.parameters() if W.ndim > 1), torch.zeros(())) / 2


@weight_decay("weight-decay-formula", "value", "Σ‖θ‖²", "optimisers' weight_decay")
def biases_too(model: nn.Module) -> Tensor:
    return sum((p.square().sum() for p in model.parameters()), torch.zeros(()))


@weight_decay("weight-decay-formula", "gradient", "Σ‖W‖² of W.data", "the values of a constant")
def of_the_data(model: nn.Module) -> Tensor:
    total = sum((W.data.square().sum() for W in model.parameters() if W.ndim > 1), torch.zeros(()))
    return total + 0 * sum(p.sum() for p in model.parameters())


@weight_decay("weight-decay-formula", "shape", "filters left out", "W.ndim == 2")
def matrices_only(model: nn.Module) -> Tensor:
    return sum((W.square().sum() for W in model.parameters() if W.ndim == 2), torch.zeros(()))
