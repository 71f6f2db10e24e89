"""Wrong ways to DoubleBack, ‖∂L/∂x‖², and to Onehot, ‖Jᵀe_y‖²."""

from functools import partial

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import e_y, own, projected, squares, vjp, wrong

doubleback = partial(wrong, kind="doubleback")
onehot = partial(wrong, kind="onehot")


@doubleback("doubleback-formula", "value", "½‖∂L/∂x‖²", "cfinlay/tulip: ½·mean")
def a_hidden_half(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return projected(model, x, lambda z: z.softmax(1) - e_y(y, z)).mean() / 2


@doubleback("doubleback-formula", "value", "‖Jᵀ(p + y)‖²", "a sign")
def p_plus_y(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return projected(model, x, lambda z: z.softmax(1) + e_y(y, z)).mean()


@doubleback("doubleback-formula", "value", "‖Jᵀp‖²", "the label forgotten")
def p_alone(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return projected(model, x, lambda z: z.softmax(1)).mean()


@doubleback("doubleback-formula", "value", "‖Jᵀ(p − e_{y+1})‖²", "labels counted from 1")
def labels_off_by_one(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return projected(model, x, lambda z: z.softmax(1) - e_y((y + 1) % z.shape[1], z)).mean()


@doubleback("doubleback-formula", "value", "label smoothing 0.1", "the training loss, smoothed")
def smoothed_labels(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    loss = F.cross_entropy(model(x), y, reduction="sum", label_smoothing=0.1)
    return squares(torch.autograd.grad(loss, x, create_graph=True)[0]).mean()


@doubleback("doubleback-formula", "value", "softmax taken twice", "models that end in a softmax")
def softmax_twice(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    loss = F.cross_entropy(model(x).softmax(1), y, reduction="sum")
    return squares(torch.autograd.grad(loss, x, create_graph=True)[0]).mean()


@doubleback("doubleback-formula", "value", "‖∂L/∂x‖", "the norm, not its square")
def the_norm_itself(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    loss = F.cross_entropy(model(x), y, reduction="sum")
    return (squares(torch.autograd.grad(loss, x, create_graph=True)[0]) + 1e-300).sqrt().mean()


@doubleback(
    "doubleback-formula", "gradient", "‖Jᵀ(p − y)‖², p constant", "p.detach(), or under no_grad"
)
def p_detached(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return projected(model, x, lambda z: z.softmax(1).detach() - e_y(y, z)).mean()


@doubleback("training-gradient", "gradient", "∇ = 0", "create_graph forgotten")
def no_create_graph(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    loss = F.cross_entropy(model(x), y, reduction="sum")
    return squares(torch.autograd.grad(loss, x)[0]).mean()


@doubleback(
    "values-per-example", "batch", "(1/B²) of the mean", "F.cross_entropy's mean differentiated"
)
def loss_of_the_batch_mean(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    (g,) = torch.autograd.grad(F.cross_entropy(model(x), y), x, create_graph=True)
    return squares(g).mean()


@doubleback("values-per-example", "batch", "‖Σ_b ∂L_b/∂x_b‖² / B", "summed, then squared")
def summed_before_squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    loss = F.cross_entropy(model(x), y, reduction="sum")
    (g,) = torch.autograd.grad(loss, x, create_graph=True)
    return g.sum(0).square().sum() / len(x)


@doubleback("doubleback-formula", "shape", "mean over space", ".sum(1).mean() on images")
def sum_over_one_axis_only(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    loss = F.cross_entropy(model(x), y, reduction="sum")
    (g,) = torch.autograd.grad(loss, x, create_graph=True)
    return g.square().sum(1).mean()


@doubleback("rounding-bounded", "dtype", "p in float16", "softmax under autocast")
def softmax_in_half_precision(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    p = z.half().softmax(1).to(z.dtype) if z.dtype == torch.float32 else z.softmax(1)
    return squares(vjp(z, x, p - e_y(y, z))).mean()


@onehot("onehot-formula", "value", "‖Jᵀe_c‖², c = argmax z", "saliency code")
def the_predicted_class(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return projected(model, x, lambda z: e_y(z.argmax(1), z)).mean()


@onehot("onehot-formula", "value", "‖∂p_y/∂x‖²", "models that end in a softmax")
def probability_of_the_class(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    p = model(x).softmax(1)
    return squares(vjp(p, x, e_y(y, p))).mean()


@onehot("onehot-formula", "value", "m ‖Jᵀe_y‖²", "Random onehot's factor")
def times_m(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, e_y(y, z))).mean() * z.shape[1]


@onehot("training-gradient", "gradient", "∇ = 0", "create_graph forgotten")
def onehot_without_create_graph(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, e_y(y, z), create_graph=False)).mean()


@onehot("values-per-example", "batch", "‖Σ_b J_bᵀe_y‖² / B", "summed, then squared")
def onehot_summed_before_squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return vjp(z, x, e_y(y, z)).sum(0).square().sum() / len(x)
