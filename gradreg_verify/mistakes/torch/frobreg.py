"""Wrong ways to ‖J‖²_F."""

from functools import partial

import torch
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import exact, jacobian, own, rows, squares, vjp, wrong

frobreg = partial(wrong, kind="frobreg")


@frobreg("frobreg-formula", "value", "½‖J‖²_F", "facebookresearch/jacobian_regularizer, undeclared")
def a_hidden_half(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean() / 2


@frobreg("frobreg-formula", "value", "‖J‖_F", "WGAN-GP; its derivative is NaN at 0 (pytorch#2421)")
def the_norm_itself(model: nn.Module, x: Tensor) -> Tensor:
    return (exact(model, x) + 1e-300).sqrt().mean()


@frobreg("frobreg-formula", "value", "(‖Jᵀ1‖ − 1)²", "WGAN-GP, put in for a Jacobian penalty")
def distance_of_the_norm_from_one(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return ((squares(vjp(model(x), x, torch.ones(()))) + 1e-300).sqrt() - 1).square().mean()


@frobreg("frobreg-formula", "value", "‖Jᵀ1‖²", "nas-without-training#17, R3GAN#20")
def gradient_of_the_sum_of_logits(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    (g,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    return squares(g).mean()


@frobreg("frobreg-formula", "value", "Σ_{k<m} ‖Jᵀe_k‖²", "loops written for m − 1 contrasts")
def the_last_class_dropped(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    return squares(J[:, : max(1, J.shape[1] - 1)]).mean()


@frobreg("frobreg-formula", "value", "(1/m)‖J‖²_F", "means over every axis but the inputs'")
def mean_over_classes(model: nn.Module, x: Tensor) -> Tensor:
    return jacobian(model, x).square().sum(2).mean()


@frobreg("frobreg-formula", "value", "‖J‖²_F / d", "torchdeq jac_reg: Σ/(B·d)")
def mean_over_inputs(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean() / x[0].numel()


@frobreg("frobreg-formula", "value", "‖∂p/∂x‖²_F", "models that end in a softmax")
def of_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x).softmax(1), x)).mean()


@frobreg("frobreg-formula", "value", "Σ_ki |J_ki|", "abs().sum() for pow(2).sum()")
def sum_of_absolute_values(model: nn.Module, x: Tensor) -> Tensor:
    return jacobian(model, x).abs().sum((1, 2)).mean()


@frobreg("frobreg-formula", "value", "‖min(J, 1000)‖²_F", "gradients clamped for stability")
def entries_clamped(model: nn.Module, x: Tensor) -> Tensor:
    return squares(jacobian(model, x).clamp(-1000, 1000)).mean()


@frobreg("metamorphic-laws", "value", "Σ_k k ‖Jᵀe_k‖²", "class weights of a loss reused")
def classes_weighted(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    weights = torch.arange(1, J.shape[1] + 1, dtype=J.dtype, device=J.device)
    return (J.square().sum(2) * weights).sum(1).mean()


@frobreg("training-gradient", "gradient", "‖J‖²_F, ∇ = 0", "no create_graph (Lightning#4487)")
def no_create_graph(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = rows(model(x), x, create_graph=False)
    return squares(J).mean() + 0 * sum(p.sum() for p in model.parameters())


@frobreg("training-gradient", "gradient", "‖J‖²_F without a graph", ".detach() for logging, kept")
def detached(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean().detach()


@frobreg("training-gradient", "gradient", "½∇‖J‖²_F", "one factor detached")
def one_factor_detached(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    return (J * J.detach()).sum((1, 2)).mean()


@frobreg("training-gradient", "gradient", "∇ = 0 in training mode", "grad mode of model.training")
def no_graph_in_training_mode(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    return value.detach().requires_grad_() if model.training else value


@frobreg("values-per-example", "gradient", "a Python float", ".item() before the loss is added")
def a_python_float(model: nn.Module, x: Tensor) -> float:
    return exact(model, x).mean().item()


@frobreg("values-per-example", "batch", "Σ_b ‖J_b‖²_F", "dtak: ½·Σ_b for a mean")
def sum_for_mean(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).sum()


@frobreg("values-per-example", "batch", "(1/B²) Σ_b ‖J_b‖²_F", "the batch mean differentiated")
def derivative_of_a_batch_mean(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    n = x.shape[0]
    return squares(rows(model(x) / n, x)).sum()


@frobreg("values-per-example", "batch", "(Σ_b ‖J_b‖²_F)^½ / B", "WGAN-GP: .norm() over the batch")
def norm_over_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    return (exact(model, x).sum() + 1e-300).sqrt() / len(x)


@frobreg("values-per-example", "batch", "‖J(x − x̄)‖²_F", "inputs standardised with the batch")
def inputs_centred_by_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x - x.mean(0)), x)).mean()


@frobreg("training-gradient", "batch", "mean of means of 16", "chunks to save memory")
def mean_of_chunk_means(model: nn.Module, x: Tensor) -> Tensor:
    return torch.stack([exact(model, part).mean() for part in torch.split(x, 16)]).mean()


@frobreg("training-gradient", "batch", "mean over distinct rows", "a cache by x")
def repeated_rows_once(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, torch.unique(x, dim=0)).mean()


@frobreg("values-per-example", "batch", "the last row twice", "a padded last batch")
def the_last_row_twice(model: nn.Module, x: Tensor) -> Tensor:
    values = exact(model, x)
    return (values.sum() + values[1:][-1:].sum()) / len(x)


@frobreg("frobreg-formula", "shape", "mean over space", "WGAN-GP variants: .sum(1) on images")
def sum_over_one_axis_only(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = torch.stack([torch.autograd.grad(z.sum(), x, create_graph=True)[0]
                     for z in model(x).unbind(1)])  # fmt: skip
    return J.square().sum((0, 2)).mean()


@frobreg("frobreg-formula", "shape", "(m/10)‖J‖²_F", "MNIST scripts: ten classes")
def ten_classes(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    return squares(J).mean() * J.shape[1] / 10


@frobreg("values-per-example", "shape", "raises for vectors", "images only: sum((1, 2, 3))")
def images_only(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = [torch.autograd.grad(z.sum(), x, create_graph=True)[0] for z in model(x).unbind(1)]
    return torch.stack([g.square().sum((1, 2, 3)) for g in J]).sum(0).mean()


@frobreg("values-per-example", "shape", "one value an example", "a reduction forgotten")
def not_reduced(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x)


@frobreg("values-per-example", "shape", "‖J‖²_F of shape (1,)", "keepdim=True")
def an_axis_too_many(model: nn.Module, x: Tensor) -> Tensor:
    return exact(model, x).mean(0, keepdim=True)


@frobreg("training-gradient", "shape", "ten logits of m", "MNIST scripts")
def ten_logits_at_most(model: nn.Module, x: Tensor) -> Tensor:
    return squares(jacobian(model, x)[:, :10]).mean()


@frobreg("training-gradient", "shape", "mean over an axis of x", "sequences (n, t, i)")
def mean_over_time(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    return value / x.shape[1] if x.ndim == 3 else value


@frobreg("frobreg-formula", "dtype", "‖J‖²_F rounded to float32", ".float() on the way")
def silently_single(model: nn.Module, x: Tensor) -> Tensor:
    return squares(jacobian(model, x).float()).mean().to(x.dtype)


@frobreg("rounding-bounded", "dtype", "squares in float16", "AMP: the square under autocast")
def squares_in_half_precision(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    return squares(J.half() if x.dtype == torch.float32 else J).mean().to(x.dtype)


@frobreg("rounding-bounded", "dtype", "J in float16", "model.half() for the penalty")
def products_in_half_precision(model: nn.Module, x: Tensor) -> Tensor:
    J = jacobian(model, x)
    return squares(J.bfloat16().to(x.dtype) if x.dtype == torch.float32 else J).mean()
