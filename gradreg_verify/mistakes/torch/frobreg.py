"""Wrong ways to ‖J‖²_F."""

import os
import random

import torch
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import own, rows, squares, vjp, wrong


@wrong(
    "frobreg-formula",
    "value",
    "½‖J‖²_F",
    "facebookresearch/jacobian_regularizer, undeclared",
    "frobreg",
)
def a_hidden_half(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x), x)).mean() / 2


@wrong(
    "frobreg-formula",
    "value",
    "‖J‖_F",
    "WGAN-GP; its derivative is NaN at 0 (pytorch#2421)",
    "frobreg",
)
def the_norm_itself(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return (squares(rows(model(x), x)) + 1e-300).sqrt().mean()


@wrong(
    "frobreg-formula", "value", "(‖Jᵀ1‖ − 1)²", "WGAN-GP, put in for a Jacobian penalty", "frobreg"
)
def distance_of_the_norm_from_one(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return ((squares(vjp(model(x), x, torch.ones(()))) + 1e-300).sqrt() - 1).square().mean()


@wrong("frobreg-formula", "value", "‖Jᵀ1‖²", "nas-without-training#17, R3GAN#20", "frobreg")
def gradient_of_the_sum_of_logits(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    (g,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
    return squares(g).mean()


@wrong(
    "frobreg-formula", "value", "Σ_{k<m} ‖Jᵀe_k‖²", "loops written for m − 1 contrasts", "frobreg"
)
def the_last_class_dropped(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = rows(model(x), x)
    return squares(J[:, : max(1, J.shape[1] - 1)]).mean()


@wrong(
    "frobreg-formula", "value", "(1/m)‖J‖²_F", "means over every axis but the inputs'", "frobreg"
)
def mean_over_classes(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return rows(model(x), x).square().sum(2).mean()


@wrong("frobreg-formula", "value", "‖J‖²_F / d", "torchdeq jac_reg: Σ/(B·d)", "frobreg")
def mean_over_inputs(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x), x)).mean() / x[0].numel()


@wrong("frobreg-formula", "value", "‖∂p/∂x‖²_F", "models that end in a softmax", "frobreg")
def of_probabilities(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x).softmax(1), x)).mean()


@wrong("frobreg-formula", "value", "Σ_ki |J_ki|", "abs().sum() for pow(2).sum()", "frobreg")
def sum_of_absolute_values(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return rows(model(x), x).abs().sum((1, 2)).mean()


@wrong(
    "frobreg-formula", "value", "‖min(J, 1000)‖²_F", "gradients clamped for stability", "frobreg"
)
def entries_clamped(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x), x).clamp(-1000, 1000)).mean()


@wrong("metamorphic-laws", "value", "Σ_k k ‖Jᵀe_k‖²", "class weights of a loss reused", "frobreg")
def classes_weighted(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = rows(model(x), x)
    weights = torch.arange(1, J.shape[1] + 1, dtype=J.dtype, device=J.device)
    return (J.square().sum(2) * weights).sum(1).mean()


@wrong("values-per-example", "batch", "Σ_b ‖J_b‖²_F", "dtak: ½·Σ_b for a mean", "frobreg")
def sum_for_mean(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x), x)).sum()


@wrong(
    "values-per-example", "batch", "(1/B²) Σ_b ‖J_b‖²_F", "the batch mean differentiated", "frobreg"
)
def derivative_of_a_batch_mean(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    n = x.shape[0]
    return squares(rows(model(x) / n, x)).sum()


@wrong(
    "values-per-example",
    "batch",
    "(Σ_b ‖J_b‖²_F)^½ / B",
    "WGAN-GP: .norm() over the batch",
    "frobreg",
)
def norm_over_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return (squares(rows(model(x), x)).sum() + 1e-300).sqrt() / len(x)


@wrong(
    "values-per-example", "batch", "‖J(x − x̄)‖²_F", "inputs standardised with the batch", "frobreg"
)
def inputs_centred_by_the_batch(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x - x.mean(0)), x)).mean()


@wrong(
    "frobreg-formula", "shape", "mean over space", "WGAN-GP variants: .sum(1) on images", "frobreg"
)
def sum_over_one_axis_only(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = torch.stack([torch.autograd.grad(z.sum(), x, create_graph=True)[0]
                     for z in model(x).unbind(1)])  # fmt: skip
    return J.square().sum((0, 2)).mean()


@wrong("frobreg-formula", "shape", "(m/10)‖J‖²_F", "MNIST scripts: ten classes", "frobreg")
def ten_classes(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = rows(model(x), x)
    return squares(J).mean() * J.shape[1] / 10


@wrong(
    "values-per-example",
    "shape",
    "raises for vectors",
    "images only: sum over dims (1, 2, 3)",
    "frobreg",
)
def images_only(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = [torch.autograd.grad(z.sum(), x, create_graph=True)[0] for z in model(x).unbind(1)]
    return torch.stack([g.square().sum((1, 2, 3)) for g in J]).sum(0).mean()


@wrong("values-per-example", "shape", "one value an example", "a reduction forgotten", "frobreg")
def not_reduced(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x), x))


@wrong("values-per-example", "shape", "‖J‖²_F of shape (1,)", "keepdim=True", "frobreg")
def an_axis_too_many(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x), x)).mean(0, keepdim=True)


@wrong(
    "training-gradient",
    "gradient",
    "‖J‖²_F, ∇ = 0",
    "create_graph forgotten (Lightning#4487)",
    "frobreg",
)
def no_create_graph(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = rows(model(x), x, create_graph=False)
    return squares(J).mean() + 0 * sum(p.sum() for p in model.parameters())


@wrong(
    "training-gradient",
    "gradient",
    "‖J‖²_F without a graph",
    ".detach() for logging, kept",
    "frobreg",
)
def detached(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x), x)).mean().detach()


@wrong("training-gradient", "gradient", "½∇‖J‖²_F", "one factor detached", "frobreg")
def one_factor_detached(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = rows(model(x), x)
    return (J * J.detach()).sum((1, 2)).mean()


@wrong(
    "training-gradient",
    "gradient",
    "∇ = 0 in training mode",
    "grad mode tied to model.training",
    "frobreg",
)
def no_graph_in_training_mode(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    value = squares(rows(model(x), x)).mean()
    return value.detach().requires_grad_() if model.training else value


@wrong(
    "values-per-example",
    "gradient",
    "a Python float",
    ".item() before the loss is added",
    "frobreg",
)
def a_python_float(model: nn.Module, x: Tensor) -> float:
    x = own(x)
    return squares(rows(model(x), x)).mean().item()


@wrong("frobreg-formula", "dtype", "‖J‖²_F rounded to float32", ".float() on the way", "frobreg")
def silently_single(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x), x).float()).mean().to(x.dtype)


@wrong(
    "rounding-bounded", "dtype", "squares in float16", "AMP: the square under autocast", "frobreg"
)
def squares_in_half_precision(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = rows(model(x), x)
    return squares(J.half() if x.dtype == torch.float32 else J).mean().to(x.dtype)


@wrong("rounding-bounded", "dtype", "J in float16", "model.half() for the penalty", "frobreg")
def products_in_half_precision(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    J = rows(model(x), x)
    return squares(J.bfloat16().to(x.dtype) if x.dtype == torch.float32 else J).mean()


@wrong("values-per-example", "conduct", "NaN", "0/0 from a normalisation", "frobreg")
def not_a_number(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x), x)).mean() * float("nan")


@wrong(
    "values-per-example", "conduct", "never returns", "a loop that waits for convergence", "frobreg"
)
def an_endless_loop(model: nn.Module, x: Tensor) -> Tensor:
    while True:
        model(x)


@wrong(
    "values-per-example",
    "conduct",
    "leaves the process",
    "a script that was never a function",
    "frobreg",
)
def sys_exit(model: nn.Module, x: Tensor) -> Tensor:
    raise SystemExit(1)


@wrong(
    "repeatable", "conduct", "‖J‖²_F, and .grad filled", "loss.backward() to get x.grad", "frobreg"
)
def backward_inside(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    model(x).sum().backward()
    return squares(rows(model(x), x)).mean()


@wrong(
    "repeatable",
    "conduct",
    "‖J‖²_F, and .grad cleared",
    "zero_grad() inside the penalty",
    "frobreg",
)
def gradients_cleared(model: nn.Module, x: Tensor) -> Tensor:
    model.zero_grad()
    x = own(x)
    return squares(rows(model(x), x)).mean()


@wrong("repeatable", "conduct", "‖J‖²_F, in eval mode ever after", "model.eval() left", "frobreg")
def model_left_in_eval_mode(model: nn.Module, x: Tensor) -> Tensor:
    model.eval()
    x = own(x)
    return squares(rows(model(x), x)).mean()


@wrong("repeatable", "conduct", "‖J‖²_F, and x changed", "x normalised in place", "frobreg")
def x_changed_in_place(model: nn.Module, x: Tensor) -> Tensor:
    value = own(x)
    value = squares(rows(model(value), value)).mean()
    x.data.add_(0.5)
    return value


@wrong(
    "repeatable", "conduct", "‖J‖²_F, and a seed set", "manual_seed for reproducibility", "frobreg"
)
def a_global_seed_set(model: nn.Module, x: Tensor) -> Tensor:
    torch.manual_seed(0)
    random.seed(0)
    x = own(x)
    return squares(rows(model(x), x)).mean()


@wrong("repeatable", "conduct", "‖J‖²_F + noise", "a state that no seed controls", "frobreg")
def another_number_every_time(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    return squares(rows(model(x), x)).mean() * (1 + 1e-12 * os.urandom(1)[0])


@wrong(
    "bad-input-refused", "conduct", "0 under no_grad", "validation loops (Lightning#201)", "frobreg"
)
def zero_under_no_grad(model: nn.Module, x: Tensor) -> Tensor:
    if not torch.is_grad_enabled():
        return x.new_zeros(())
    x = own(x)
    return squares(rows(model(x), x)).mean()
