"""Wrong ways to DoubleBack, ‖∂L/∂x‖², and to Onehot, ‖Jᵀe_y‖²."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import own, squares, vjp, wrong


def onehot(y: Tensor, z: Tensor) -> Tensor:
    """Rows e_y."""
    return F.one_hot(y, z.shape[1]).to(z.dtype)


@wrong("doubleback-formula", "value", "½‖∂L/∂x‖²", "cfinlay/tulip: ½·mean", "doubleback")
def a_hidden_half(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, z.softmax(1) - onehot(y, z))).mean() / 2


@wrong("doubleback-formula", "value", "‖Jᵀ(p + y)‖²", "a sign", "doubleback")
def p_plus_y(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, z.softmax(1) + onehot(y, z))).mean()


@wrong("doubleback-formula", "value", "‖Jᵀp‖²", "the label forgotten", "doubleback")
def p_alone(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, z.softmax(1))).mean()


@wrong("doubleback-formula", "value", "‖Jᵀ(p − e_{y+1})‖²", "labels counted from 1", "doubleback")
def labels_off_by_one(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, z.softmax(1) - onehot((y + 1) % z.shape[1], z))).mean()


@wrong(
    "doubleback-formula",
    "value",
    "label smoothing 0.1",
    "the training loss, smoothed",
    "doubleback",
)
def smoothed_labels(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    loss = F.cross_entropy(model(x), y, reduction="sum", label_smoothing=0.1)
    return squares(torch.autograd.grad(loss, x, create_graph=True)[0]).mean()


@wrong(
    "doubleback-formula",
    "value",
    "softmax taken twice",
    "models that end in a softmax",
    "doubleback",
)
def softmax_twice(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    loss = F.cross_entropy(model(x).softmax(1), y, reduction="sum")
    return squares(torch.autograd.grad(loss, x, create_graph=True)[0]).mean()


@wrong("doubleback-formula", "value", "‖∂L/∂x‖", "the norm, not its square", "doubleback")
def the_norm_itself(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    loss = F.cross_entropy(model(x), y, reduction="sum")
    return (squares(torch.autograd.grad(loss, x, create_graph=True)[0]) + 1e-300).sqrt().mean()


@wrong(
    "doubleback-formula",
    "gradient",
    "‖Jᵀ(p − y)‖², p constant",
    "p.detach(), or under no_grad",
    "doubleback",
)
def p_detached(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, z.softmax(1).detach() - onehot(y, z))).mean()


@wrong("training-gradient", "gradient", "∇ = 0", "create_graph forgotten", "doubleback")
def no_create_graph(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    loss = F.cross_entropy(model(x), y, reduction="sum")
    return squares(torch.autograd.grad(loss, x)[0]).mean()


@wrong(
    "values-per-example",
    "batch",
    "(1/B²) of the mean",
    "F.cross_entropy's mean differentiated",
    "doubleback",
)
def loss_of_the_batch_mean(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    (g,) = torch.autograd.grad(F.cross_entropy(model(x), y), x, create_graph=True)
    return squares(g).mean()


@wrong("values-per-example", "batch", "‖Σ_b ∂L_b/∂x_b‖² / B", "summed, then squared", "doubleback")
def summed_before_squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    loss = F.cross_entropy(model(x), y, reduction="sum")
    (g,) = torch.autograd.grad(loss, x, create_graph=True)
    return g.sum(0).square().sum() / len(x)


@wrong("doubleback-formula", "shape", "mean over space", ".sum(1).mean() on images", "doubleback")
def sum_over_one_axis_only(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    loss = F.cross_entropy(model(x), y, reduction="sum")
    (g,) = torch.autograd.grad(loss, x, create_graph=True)
    return g.square().sum(1).mean()


@wrong("rounding-bounded", "dtype", "p in float16", "softmax under autocast", "doubleback")
def softmax_in_half_precision(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    p = z.half().softmax(1).to(z.dtype) if z.dtype == torch.float32 else z.softmax(1)
    return squares(vjp(z, x, p - onehot(y, z))).mean()


@wrong(
    "bad-input-refused", "conduct", "label m taken for m − 1", "y.clamp(max=m − 1)", "doubleback"
)
def labels_clamped(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, z.softmax(1) - onehot(y.clamp(max=z.shape[1] - 1), z))).mean()


@wrong("onehot-formula", "value", "‖Jᵀe_c‖², c = argmax z", "saliency code", "onehot")
def the_predicted_class(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, onehot(z.argmax(1), z))).mean()


@wrong("onehot-formula", "value", "‖∂p_y/∂x‖²", "models that end in a softmax", "onehot")
def probability_of_the_class(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    p = model(x).softmax(1)
    return squares(vjp(p, x, onehot(y, p))).mean()


@wrong("onehot-formula", "value", "m ‖Jᵀe_y‖²", "Random onehot's factor", "onehot")
def times_m(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, onehot(y, z))).mean() * z.shape[1]


@wrong("values-per-example", "batch", "‖Σ_b J_bᵀe_y‖² / B", "summed, then squared", "onehot")
def onehot_summed_before_squared(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return vjp(z, x, onehot(y, z)).sum(0).square().sum() / len(x)


@wrong("training-gradient", "gradient", "∇ = 0", "create_graph forgotten", "onehot")
def onehot_without_create_graph(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    return squares(vjp(z, x, onehot(y, z), create_graph=False)).mean()
