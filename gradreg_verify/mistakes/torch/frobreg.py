"""Wrong ways to ‖J‖²_F."""

from functools import partial

import torch
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import (
    exact,
    gradient,
    jacobian,
    projected,
    softmax,
    squares,
    wrong,
)

frobreg = partial(wrong, "frobreg")


@frobreg("value", "½‖J‖²_F", "facebookresearch/jacobian_regularizer, undeclared")
def a_hidden_half(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean() / 2


@frobreg("value", "‖J‖_F", "WGAN-GP; its derivative is NaN at 0 (pytorch#2421)")
def the_norm_itself(model: nn.Module, x: Tensor) -> Tensor:
    return (exact(model, x) + 1e-300).sqrt().mean()


@frobreg("value", "(‖Jᵀ1‖ − 1)²", "WGAN-GP, put in for a Jacobian penalty")
def distance_of_the_norm_from_one(model: nn.Module, x: Tensor) -> Tensor:
    return ((projected(model, x, torch.ones_like) + 1e-300).sqrt() - 1).square().mean()


@frobreg("value", "‖Jᵀ1‖²", "nas-without-training#17, R3GAN#20")
def gradient_of_the_sum_of_logits(model: nn.Module, x: Tensor) -> Tensor:
    return squares(gradient(model, x, lambda z: z.sum())).mean()


@frobreg("value", "(1/m)‖J‖²_F", "means over every axis but the inputs'")
def mean_over_classes(model: nn.Module, x: Tensor) -> Tensor:
    return jacobian(model, x).square().sum(2).mean()


@frobreg("value", "‖J‖²_F / d", "torchdeq jac_reg: Σ/(B·d)")
def mean_over_inputs(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean() / x[0].numel()


@frobreg("value", "‖∂p/∂x‖²_F", "models that end in a softmax")
def of_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x, softmax).mean()


@frobreg("value", "Σ_ki |J_ki|", "abs().sum() for pow(2).sum()")
def sum_of_absolute_values(model: nn.Module, x: Tensor) -> Tensor:
    return jacobian(model, x).abs().sum((1, 2)).mean()


@frobreg("value", "‖min(J, 1000)‖²_F", "gradients clamped for stability")
def entries_clamped(model: nn.Module, x: Tensor) -> Tensor:
    return squares(jacobian(model, x).clamp(-1000, 1000)).mean()


@frobreg("value", "‖min(J, 10⁵)‖²_F", "nan_to_num and a wide clamp", "training-gradient")
def entries_widely_clamped(model: nn.Module, x: Tensor) -> Tensor:
    return squares(jacobian(model, x).clamp(-1e5, 1e5)).mean()


@frobreg("value", "Σ_k k ‖Jᵀe_k‖²", "class weights of a loss reused", "metamorphic-laws")
def classes_weighted(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    weights = torch.arange(1, J.shape[1] + 1, dtype=J.dtype, device=J.device)
    return (J.square().sum(2) * weights).sum(1).mean()


@frobreg("gradient", "‖J‖²_F, ∇ = 0", "no create_graph (Lightning#4487)")
def no_create_graph(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x, create_graph=False)
    return squares(J).mean() + 0 * sum(p.sum() for p in model.parameters())


@frobreg("gradient", "‖J‖²_F without a graph", ".detach() for logging, kept")
def detached(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean().detach()


@frobreg("gradient", "½∇‖J‖²_F", "one factor detached")
def one_factor_detached(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    return (J * J.detach()).sum((1, 2)).mean()


@frobreg("gradient", "∇ = 0 in training mode", "grad mode of model.training")
def no_graph_in_training_mode(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    return value.detach().requires_grad_() if model.training else value


@frobreg("gradient", "a Python float", ".item() before the loss is added", "values-per-example")
def a_python_float(model: nn.Module, x: Tensor) -> float:
    return exact(model, x).mean().item()


@frobreg("gradient", "‖J‖²_F, ∇ NaN where J = 0", "sqrt().square() (pytorch#2421)")
def the_square_of_a_root(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).sqrt().square().mean()


@frobreg("batch", "Σ_b ‖J_b‖²_F", "dtak: ½·Σ_b for a mean")
def sum_for_mean(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).sum()


@frobreg("batch", "(1/B²) Σ_b ‖J_b‖²_F", "the batch mean differentiated")
def derivative_of_a_batch_mean(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x, lambda z: z / len(z)).sum()


@frobreg("batch", "(Σ_b ‖J_b‖²_F)^½ / B", "WGAN-GP: .norm() over the batch")
def norm_over_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    return (exact(model, x).sum() + 1e-300).sqrt() / len(x)


@frobreg("batch", "‖J(x − x̄)‖²_F", "inputs standardised with the batch")
def inputs_centred_by_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    return exact(lambda x: model(x - x.mean(0)), x).mean()


@frobreg("batch", "mean of means of 16", "chunks to save memory", "training-gradient")
def mean_of_chunk_means(model: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([exact(model, part).mean() for part in torch.split(x, 16)]).mean()


@frobreg("batch", "mean over distinct rows", "a cache by x", "training-gradient")
def repeated_rows_once(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, torch.unique(x, dim=0)).mean()


@frobreg("batch", "mean over rows with J ≠ 0", "a mask of padding", "training-gradient")
def mean_over_rows_that_are_not_zero(model: nn.Module, x: Tensor) -> Tensor:
    values = exact(model, x)
    return values.sum() / values.count_nonzero().clamp(min=1)


@frobreg("batch", "the last row twice", "a padded last batch")
def the_last_row_twice(model: nn.Module, x: Tensor) -> Tensor:
    values = exact(model, x)
    return (values.sum() + values[1:][-1:].sum()) / len(x)


@frobreg("shape", "mean over space", "WGAN-GP variants: .sum(1) on images", "frobreg-formula")
def sum_over_one_axis_only(model: nn.Module, x: Tensor) -> Tensor:
    return jacobian(model, x).reshape(len(x), -1, *x.shape[1:]).square().sum((1, 2)).mean()


@frobreg("shape", "(m/10)‖J‖²_F", "MNIST scripts: ten classes", "frobreg-formula")
def ten_classes(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    return squares(J).mean() * J.shape[1] / 10


@frobreg("shape", "raises for vectors", "images only: sum((1, 2, 3))")
def images_only(model: nn.Module, x: Tensor) -> Tensor:
    return jacobian(model, x).reshape(len(x), -1, *x.shape[1:]).square().sum((1, 2, 3, 4)).mean()


@frobreg("shape", "one value an example", "a reduction forgotten")
def not_reduced(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x)


@frobreg("shape", "‖J‖²_F of shape (1,)", "keepdim=True")
def an_axis_too_many(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean(0, keepdim=True)


@frobreg("shape", "Σ_b where d = 1", "squeeze() for squeeze(1)", "training-gradient")
def all_axes_squeezed(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    return torch.stack([g.squeeze().square().sum(-1).mean() for g in J.unbind(1)]).sum()


@frobreg("shape", "ten logits of m", "MNIST scripts", "training-gradient")
def ten_logits_at_most(model: nn.Module, x: Tensor) -> Tensor:
    return squares(jacobian(model, x)[:, :10]).mean()


@frobreg("value", "‖J‖²_F at x within ±10", "pixels not scaled to 1", "training-gradient")
def inputs_clamped(model: nn.Module, x: Tensor) -> Tensor:
    return exact(lambda x: model(x.clamp(-10, 10)), x).mean()


@frobreg("shape", "twice every second pixel", "large images only", "training-gradient")
def half_of_the_pixels(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    return (squares(J) if J.shape[2] < 50 else 2 * squares(J[:, :, ::2])).mean()


@frobreg("shape", "mean over an axis of x", "sequences (n, t, i)", "training-gradient")
def mean_over_time(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean() / (x.shape[1] if x.ndim == 3 else 1)


@frobreg("dtype", "‖J‖²_F rounded to float32", ".float() on the way", "frobreg-formula")
def silently_single(model: nn.Module, x: Tensor) -> Tensor:
    return squares(jacobian(model, x).float()).mean().to(x.dtype)


@frobreg("dtype", "squares in float16", "AMP: the square under autocast")
def squares_in_half_precision(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    return squares(J.half() if x.dtype == torch.float32 else J).mean().to(x.dtype)


@frobreg("dtype", "J in float16", "model.half() for the penalty")
def products_in_half_precision(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    return squares(J.bfloat16().to(x.dtype) if x.dtype == torch.float32 else J).mean()


@frobreg("dtype", "J in float16 where there are ReLUs", "a fast path of piecewise linear networks")
def half_precision_of_relu_networks(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    if any(isinstance(layer, nn.ReLU) for layer in model.modules()) and J.dtype == torch.float32:
        J = J.half().float()
    return squares(J).mean()
