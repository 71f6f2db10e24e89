"""Faults that a second call, a second pass, or many logits show."""

from collections import deque
from functools import partial
from math import sqrt

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.entries import (
    exact,
    gradient,
    jacobian,
    own,
    projected,
    right,
    softmax,
    squares,
    vjp,
    wrong,
)
from gradreg_verify.mistakes.torch.spectreg import sampler

frobreg = partial(wrong, "frobreg")


class _Buffered(nn.Module):
    """‖J‖²_F with J in a buffer that the next call overwrites."""

    def __init__(self) -> None:
        super().__init__()
        self.kept = torch.zeros(())

    def forward(self, model: nn.Module, x: Tensor) -> Tensor:
        """The value, whose gradient reads the buffer."""
        J = jacobian(model, x)
        if self.kept.shape != J.shape:
            self.kept = torch.zeros_like(J)
        self.kept.data.copy_(J.detach())
        return 2 * (J * self.kept).sum() / len(x) - self.kept.square().sum() / len(x)


frobreg("gradient", "∇ of the last call", "a buffer allocated once", "training-gradient")(
    _Buffered()
)


@frobreg("gradient", "0 where λ is negative", "backward through a ReLU of the weight",
         "training-gradient")  # fmt: skip
def no_negative_weights(model: nn.Module, x: Tensor) -> Tensor:
    value = exact(model, x).mean()
    if value.requires_grad:
        value.register_hook(lambda weight: weight.relu())  # type: ignore[no-untyped-call]
    return value


@frobreg("gradient", "rows of J from passes of their own", "model(x)[:, k] in a loop",
         "training-gradient")  # fmt: skip
def a_pass_for_every_class(model: nn.Module, x: Tensor) -> Tensor:
    classes = range(model(x).shape[1])
    return sum((squares(gradient(model, x, lambda z, k=k: z[:, k].sum())).mean()  # type: ignore[misc]
                for k in classes), x.new_zeros(()))  # fmt: skip


@wrong("doubleback", "gradient", "p and J from two passes", "p = model(x).softmax(1) before",
       "training-gradient")  # fmt: skip
def probabilities_of_another_pass(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    p = softmax(model(x))
    x = own(x)
    z = model(x)
    # The graph of p goes through the first pass.
    r = p - F.one_hot(y, z.shape[1])
    return squares(vjp(z, x, r)).mean()


@frobreg("conduct", "‖J‖²_F, and means of x + noise", "a pass of shifted inputs in training mode")
def means_of_other_inputs(model: nn.Module, x: Tensor) -> Tensor:
    model(x.detach() + 1)
    return exact(model, x).mean()


@frobreg("conduct", "‖J‖²_F, and a hook on every weight", "register_post_accumulate_grad_hook")
def hooks_left_on_parameters(model: nn.Module, x: Tensor) -> Tensor:
    for p in model.parameters():
        if p.requires_grad:
            p.register_post_accumulate_grad_hook(lambda _: None)  # type: ignore[no-untyped-call]
    return exact(model, x).mean()


@frobreg("conduct", "‖J‖²_F, and .grad of zeros", "a .grad made where there was none")
def gradients_of_zeros(model: nn.Module, x: Tensor) -> Tensor:
    for p in model.parameters():
        p.grad = torch.zeros_like(p) if p.grad is None else p.grad
    return exact(model, x).mean()


@frobreg("conduct", "‖J‖²_F, and a hook on the logits", "logits.register_hook, never removed")
def a_hook_left_on_logits(logits: Tensor, x: Tensor) -> Tensor:
    if logits.requires_grad:
        logits.register_hook(lambda g: g)  # type: ignore[no-untyped-call]
    rows = [vjp(logits, x, unit) for unit in torch.eye(logits.shape[1], dtype=x.dtype)]
    return torch.stack(rows, 1).square().sum() / len(x)


INPUTS: list[Tensor] = []
HISTORY: deque[Tensor] = deque(maxlen=20)


@frobreg("conduct", "‖J‖²_F, and every x kept", "inputs.append(x) for a plot")
def inputs_kept_in_a_list(model: nn.Module, x: Tensor) -> Tensor:
    INPUTS.append(x.detach().clone())
    return exact(model, x).mean()


@right("‖J‖²_F, the last 20 values kept", "frobreg")
def a_history_of_some_length(model: nn.Module, x: Tensor) -> Tensor:
    values = exact(model, x)
    HISTORY.append(values.detach())
    return values.mean()


@frobreg("conduct", "‖J‖²_F, and NumPy raises", "np.seterr to find a NaN")
def numpy_left_raising(model: nn.Module, x: Tensor) -> Tensor:
    np.seterr(all="raise")
    return exact(model, x).mean()


def block(z: Tensor, size: int) -> Tensor:
    """Gaussians for so many logits at most."""
    return torch.randn_like(z[:, :size])


@sampler("r of the first 100 logits, else 0", "zeros(B, m)[:, :100] filled")
def a_hundred_entries(z: Tensor) -> Tensor:
    r = block(z, 100)
    return F.pad(r, (0, z.shape[1] - r.shape[1]))


@sampler("r repeated after 64 logits", "a block of 64 tiled")
def entries_repeated(z: Tensor) -> Tensor:
    m = z.shape[1]
    return block(z, 64).repeat(1, m // 64 + 1)[:, :m]


@sampler("signs for more than 100 logits", "a cheaper law for many classes")
def signs_for_many_logits(z: Tensor) -> Tensor:
    return torch.randn_like(z) if z.shape[1] <= 100 else torch.randn_like(z).sign()


@sampler("signs repeated after 64 logits", "64 bits of one number", probe="rademacher")
def bits_of_one_number(z: Tensor) -> Tensor:
    m = z.shape[1]
    return block(z, 64).sign().repeat(1, m // 64 + 1)[:, :m]


@sampler("one of the first 100 classes", "randint(100)", probe="onehot")
def a_class_below_a_hundred(z: Tensor) -> Tensor:
    m = z.shape[1]
    c = torch.randint(0, min(m, 100), (len(z),), device=z.device)
    return sqrt(m) * F.one_hot(c, m)


@wrong("spectreg", "sampler", "one r for chunks beyond 256", "torch.split(x, 256)")
def probes_again_after_256(model: nn.Module, x: Tensor) -> Tensor:
    def repeated(z: Tensor) -> Tensor:
        r = torch.randn_like(z[:256])
        return torch.cat([r, r])[: len(z)]

    return projected(model, x, repeated).mean()


@right("‖J‖²_F, saved tensors moved", "frobreg")
def saved_tensors_moved(model: nn.Module, x: Tensor) -> Tensor:
    with torch.autograd.graph.save_on_cpu():
        return exact(model, x).mean()


@right("‖J‖²_F, a running mean", "frobreg")
def a_running_mean(model: nn.Module, x: Tensor) -> Tensor:
    mean = x.new_zeros(())
    for seen, value in enumerate(exact(model, x), start=1):
        mean = mean + (value - mean) / seen
    return mean
