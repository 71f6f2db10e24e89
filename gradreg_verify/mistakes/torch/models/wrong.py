"""Models with a fault, and the line of the report that `check_model` must mark as wrong."""

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from gradreg_torch import FrobReg, JacReg, SpectReg
from torch import Tensor, nn

from gradreg_verify.mistakes.torch.models.model import Model, Net, mlp, of


def intermediate(t: Tensor) -> Tensor:
    """t³, whose slope 3t² is a constant: the value of a penalty is right."""
    slope = (3 * t * t).detach()
    return slope * t + (t**3 - slope * t).detach()


class Unrecorded(torch.autograd.Function):
    """t³, whose backward pass records no graph."""

    @staticmethod
    def forward(ctx: Any, t: Tensor) -> Tensor:
        """t³."""
        ctx.save_for_backward(t)
        return t**3

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Any:
        """The right gradient, once."""
        with torch.no_grad():
            return grad * 3 * ctx.saved_tensors[0] ** 2


class FixedPoint(nn.Module):
    """h = tanh(W h + x), with its implicit gradient in a hook that sees constants."""

    def __init__(self) -> None:
        super().__init__()
        self.W = nn.Parameter(0.1 * torch.randn(4, 4))

    def forward(self, x: Tensor) -> Tensor:
        """The fixed point, and one step from it that autograd sees."""
        with torch.no_grad():
            h = torch.zeros_like(x)
            for _ in range(100):
                h = torch.tanh(h @ self.W.T + x)
        h = torch.tanh(h @ self.W.T + x)
        d = (1 - h.detach() ** 2)[:, :, None] * self.W.detach()
        inverse = torch.linalg.inv(torch.eye(4, dtype=x.dtype) - d)
        if h.requires_grad:
            hook: Any = h.register_hook
            hook(lambda grad: torch.einsum("nij,ni->nj", inverse, grad))
        return h


def gated(m: Any, x: Tensor) -> Any:
    """A gate whose parameters get no gradient."""
    return m.last(torch.tanh(m.body(x)) * torch.sigmoid(m.gate(x)).detach())


def centred(m: Any, x: Tensor) -> Any:
    """A running mean, no buffer, moves in every pass."""
    h = m.body(x)
    m.mean = 0.9 * getattr(m, "mean", 0.0) + 0.1 * h.detach().mean(0)
    return m.last(torch.tanh(h - m.mean))


def drifting(m: Any, x: Tensor) -> Any:
    """A parameter that the forward pass writes, as weights that are normalised in place."""
    with torch.no_grad():
        m.body.bias.add_(0.1)
    return m.last(torch.tanh(m.body(x)))


def branched(m: Any, x: Tensor) -> Any:
    """Logits scaled by a function of x that no gradient passes."""
    return m.logits(x) * x.detach().mean(1, keepdim=True).exp()


def two_layers(logits: Callable[[Any, Tensor], Any], **more: nn.Module) -> Net:
    """Layers of the functions above."""
    return Net(logits, body=nn.Linear(4, 5), last=nn.Linear(5, 3), **more)


def noisy() -> nn.Module:
    """Noise that NumPy draws."""
    rng = np.random.default_rng(0)
    return mlp(lambda h: torch.tanh(h + torch.from_numpy(rng.normal(size=h.shape)).to(h)))


def dropout_of_its_own() -> nn.Module:
    """Dropout with its own generator."""
    g = torch.Generator().manual_seed(0)
    return mlp(lambda h: 2 * torch.tanh(h) * (torch.rand(h.shape, generator=g) < 0.5))


def biases_alone() -> nn.Module:
    """ReLUs, of which only biases are trained: J does not depend on them."""
    net = mlp(torch.relu)
    for p in (net[0].weight, net[2].weight):
        p.requires_grad_(False)
    return net


def deviation(h: Tensor) -> Tensor:
    """The deviation over the batch beside each example, as discriminators have it."""
    return torch.cat([h[:, 1:], h.std(0).mean().expand(len(h), 1)], 1)


def normalised(h: Tensor) -> Tensor:
    """Batch norm by hand."""
    return (h - h.mean(0)) / (h.var(0, unbiased=False) + 1e-5).sqrt()


def of_groups(h: Tensor) -> Tensor:
    """Batch norm of every second example, and of the others."""
    return torch.stack([normalised(h[0::2]), normalised(h[1::2])], 1).flatten(0, 1)


WRONG = (
    Model("a backward pass under no_grad", lambda: mlp(Unrecorded.apply), line="penalty",
          says="Unrecorded", penalty=lambda **o: SpectReg(mode="reverse", **o)),
    Model("a slope that is a constant", lambda: mlp(intermediate), line="gradient",
          says="at 0.weight, 0.bias"),
    Model("an implicit gradient in a hook", lambda: nn.Sequential(FixedPoint(), nn.Linear(4, 3)),
          line="penalty", says="a backward hook",
          penalty=lambda **o: SpectReg(mode="reverse", **o)),
    Model("a gate that is detached", lambda: two_layers(gated, gate=nn.Linear(4, 5)),
          line="gradient", says="at gate.weight, gate.bias"),
    Model("batch norm by hand", lambda: mlp(normalised), line="penalty",
          says="whose examples depend on each other", penalty=FrobReg),
    Model("batch norm over examples dealt out to groups", lambda: mlp(of_groups), line="penalty",
          says="whose examples depend on each other", penalty=FrobReg),
    Model("a neighbour but one in the batch", lambda: mlp(lambda h: h + h.roll(2, 0).tanh()),
          line="penalty", says="whose examples depend on each other", penalty=JacReg),
    Model("a deviation over the batch", lambda: mlp(deviation), line="penalty",
          says="whose examples depend on each other", penalty=JacReg),
    Model("noise by NumPy", noisy, line="repeatable", says="one seed gives"),
    Model("dropout with a generator of its own", dropout_of_its_own, line="repeatable",
          says="one seed gives"),
    Model("a running mean that is no buffer", lambda: two_layers(centred), line="repeatable",
          says="one seed gives"),
    Model("a parameter that the forward pass writes", lambda: two_layers(drifting),
          line="unchanged", says="parameters"),
    Model("biases alone, between ReLUs", biases_alone, line="parameters", says="0.bias, 2.bias"),
    Model("a rounding", lambda: mlp(torch.round), line="penalty", says="0, the loss"),
    Model("straight through a sine", lambda: mlp(lambda h: h + (h.sin() - h).detach()),
          line="jacobian", says="not the derivative of the logits"),
    Model("a branch of x that is detached", lambda: Net(branched, logits=mlp(torch.tanh)),
          line="jacobian", says="not the derivative of the logits"),
    Model("x detached", lambda: nn.Sequential(of(Tensor.detach), nn.Linear(4, 3)), line="penalty",
          says="expected input 0 to reach the logits"),
)  # fmt: skip
