"""Right implementations that draw their probes in another way: the kit must flag none of them."""

import torch
from torch import Tensor, nn
from torch.func import vjp as pulled_back
from torch.func import vmap

from gradreg_verify.mistakes.torch.entries import own, projected, right, squares, vjp


@right("three probes of signs, q first", "spectreg", probe="rademacher", num_probes=3)
def three_signs_q_first(model: nn.Module, x: Tensor) -> Tensor:
    x = own(x)
    z = model(x)
    signs = torch.randn(3, *z.shape, dtype=z.dtype, device=z.device).sign()
    return torch.stack([squares(vjp(z, x, r)) for r in signs]).mean()


@right("twice gaussians of standard deviation ½", "spectreg")
def narrow_gaussians_widened(model: nn.Module, x: Tensor) -> Tensor:
    return projected(model, x, lambda z: 2 * torch.empty_like(z).normal_(std=0.5)).mean()


@right("a probe drawn inside vmap", "spectreg")
def drawn_inside_vmap(model: nn.Module, x: Tensor) -> Tensor:
    def one(example: Tensor) -> Tensor:
        z, pullback, *_ = pulled_back(lambda t: model(t[None])[0], example)
        value: Tensor = pullback(torch.randn_like(z))[0].square().sum()
        return value

    return vmap(one, randomness="different")(x).mean()
