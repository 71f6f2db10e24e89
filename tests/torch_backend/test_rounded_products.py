"""Products that are rounding, or underflow: right models were once taken for wrong ones."""

import warnings

import gradreg_torch as gt
import pytest
import torch
from torch import nn
from torch.func import functional_call, grad

SEEDS = range(12)


class Lost(torch.autograd.Function):
    """tanh, whose backward pass records no graph."""

    @staticmethod
    def forward(ctx, h):
        ctx.save_for_backward(h)
        return h.tanh()

    @staticmethod
    def backward(ctx, g):
        (h,) = ctx.saved_tensors
        return (g * (1 - h.tanh().square())).detach()


class Clipped(nn.Module):
    """A hook that clips gradients: no product with a Jacobian is left."""

    def forward(self, h):
        h = 1 * h
        h.register_hook(lambda g: g.clamp(-1e-5, 1e-5))
        return h


def with_norm(width, layer, seed, scale=1.0):
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Linear(5, width), layer, nn.LayerNorm(width), nn.Tanh(), nn.Linear(width, 3)
    )
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(scale)
    return model, 100 * torch.randn(6, 5)


def tried(model, x, mode):
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # where mode="auto" takes finite differences
        gt.spectreg(model, x, probes=torch.ones(len(x), 3, 1, dtype=x.dtype), mode=mode)


@pytest.mark.parametrize("mode", ["reverse", "auto"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
def test_terms_that_cancel_are_no_lost_graph(dtype, mode):
    """A norm of two entries is ±1 wherever they differ: its Jacobian is 0 but for rounding."""
    for seed in SEEDS:
        model, x = with_norm(2, nn.Identity(), seed)
        tried(model.to(dtype), x.to(dtype), mode)


@pytest.mark.parametrize(("dtype", "shrink"), [(torch.float16, 3), (torch.float32, 30)])
def test_underflow_is_no_lost_graph(dtype, shrink):
    """The derivative of ‖Jᵀr‖² underflows where Jᵀr does not."""
    for seed in SEEDS:
        torch.manual_seed(seed)
        model = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, 3))
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.mul_(torch.finfo(dtype).tiny ** 0.25 / shrink)
        tried(model.to(dtype), torch.randn(6, 5).to(dtype), "reverse")


def in_transform(model, x):
    """The trial of `torch.func.grad`."""

    def value(parameters):
        probes = torch.ones(len(x), 3, 1, dtype=x.dtype)
        return gt.spectreg(lambda x: functional_call(model, parameters, (x,)), x, probes=probes)

    grad(value)({k: p.detach() for k, p in model.named_parameters()})


def test_terms_that_cancel_are_no_lost_graph_in_a_transform():
    for seed in SEEDS:
        in_transform(*with_norm(2, nn.Identity(), seed))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [3, 8])
def test_a_lost_graph_is_still_found(width, dtype):
    class Layer(nn.Module):
        def forward(self, h):
            return Lost.apply(h / 100)

    for layer in (Layer(), Clipped()):
        for seed in SEEDS:
            model, x = with_norm(width, layer, seed)
            with pytest.raises(ValueError, match=r"cannot|leave gradients as they are|linear"):
                tried(model.to(dtype), x.to(dtype), "reverse")


def encoder(seed, scale=1.0, dropout=0.0):
    """One layer of a transformer, and a mean over the tokens."""
    torch.manual_seed(seed)
    layer = nn.TransformerEncoderLayer(8, 2, 8, dropout=dropout, batch_first=True)
    with torch.no_grad():
        for parameter in layer.parameters():
            parameter.mul_(scale)
    return nn.Sequential(layer, nn.Flatten(), nn.Linear(40, 3))


def test_terms_that_cancel_are_no_wrong_forward_mode():
    for seed in SEEDS:
        model, x = with_norm(2, nn.Identity(), seed)
        gt.frobreg(model, x, mode="forward")


def test_other_masks_of_small_branches_are_no_wrong_forward_mode():
    """Masks of a repeated pass may differ, and logits then differ by 1e-7."""
    for seed in SEEDS:
        model = encoder(seed, 1e-3, dropout=0.1).double()
        gt.frobreg(model, torch.randn(2, 5, 8).double(), mode="forward")
