"""The losses whose training step `step_cost.py` measures: ours, and as one writes them by hand."""

from collections.abc import Callable
from typing import Any

import gradreg_torch as gt
import torch
import torch.nn.functional as F
from timing import LAM
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]


def plain(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """The loss alone."""
    return F.cross_entropy(model(x), y)


def twice_differentiable(model: nn.Module, x: Tensor) -> Tensor:
    """The logits; attention in the kernel that torch's error leads to."""
    with sdpa_kernel(SDPBackend.MATH):
        return model(x)


def hand_spectreg(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Compute the loss with SpectReg as one writes it by hand."""
    x = x.detach().requires_grad_()
    z = twice_differentiable(model, x)
    (v,) = torch.autograd.grad(z, x, torch.randn_like(z), create_graph=True)
    return F.cross_entropy(z, y) + LAM * v.flatten(1).square().sum(1).mean()


def hand_doubleback(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """Compute the loss with DoubleBack as one writes it by hand."""
    x = x.detach().requires_grad_()
    losses = F.cross_entropy(twice_differentiable(model, x), y, reduction="none")
    (v,) = torch.autograd.grad(losses.sum(), x, create_graph=True)
    return losses.mean() + LAM * v.flatten(1).square().sum(1).mean()


def hand_frobreg(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    """A loop over classes."""
    x = x.detach().requires_grad_()
    z = twice_differentiable(model, x)
    total = sum(
        torch.autograd.grad(z[:, k].sum(), x, create_graph=True)[0].square().sum()
        for k in range(z.shape[1])
    )
    return F.cross_entropy(z, y) + LAM * total / len(x)


def ours(penalty: gt.Penalty) -> Loss:
    """The objective."""

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        step = gt.objective(model, x, y, penalty)
        return step.loss + LAM * step.penalty

    return loss


def compiled_spectreg(m: int, device: str) -> Loss:
    """The whole step's loss compiled; probes are drawn outside."""
    g, penalty = torch.Generator(device).manual_seed(0), gt.SpectReg()

    @torch.compile(fullgraph=True)
    def step(model: nn.Module, x: Tensor, y: Tensor, probes: Tensor) -> Tensor:
        got = gt.objective(model, x, y, penalty, probes=probes)
        return got.loss + LAM * got.penalty

    def loss(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return step(model, x, y, gt.draw_probes("gaussian", len(x), m, generator=g))

    return loss


COMPILED = "plain, compiled"


def compiled_variants(m: int, device: str) -> dict[str, tuple[Loss, int]]:
    """Rows whose ratio is to the compiled plain step."""
    return {
        COMPILED: (torch.compile(plain, fullgraph=True), 1),
        "spectreg, compiled": (compiled_spectreg(m, device), 1),
    }


def variants(m: int, device: str) -> dict[str, tuple[Loss, int]]:
    """Return every row by name, with how many steps one turn takes."""

    def spectreg(**options: Any) -> tuple[Loss, int]:
        g = torch.Generator(device).manual_seed(0)
        return ours(gt.SpectReg(generator=g, **options)), options.get("every", 1)

    estimates = {
        "spectreg by hand": (hand_spectreg, 1),
        "doubleback": (ours(gt.DoubleBack()), 1),
        "doubleback by hand": (hand_doubleback, 1),
        "spectreg, every=16": spectreg(every=16),
        "spectreg, fraction=1/4": spectreg(fraction=0.25),
        "spectreg, 5 orthogonal": spectreg(probe="orthogonal", num_probes=5),
        "spectreg, 5 gaussian": spectreg(num_probes=5),
        "spectreg, finite_difference": spectreg(mode="finite_difference"),
        "spectreg, one_sided_difference": spectreg(mode="one_sided_difference"),
        "spectreg, forward": spectreg(mode="forward"),
    }
    return {
        "plain": (plain, 1),
        "spectreg": spectreg(),
        **(estimates if m <= 10 else {}),
        "frobreg": (ours(gt.FrobReg()), 1),
        "frobreg, batchnorm=eval": (ours(gt.FrobReg(batchnorm="eval")), 1),
        "frobreg, chunk_size=25": (ours(gt.FrobReg(chunk_size=25)), 1),
        "frobreg by hand": (hand_frobreg, 1),
    }
