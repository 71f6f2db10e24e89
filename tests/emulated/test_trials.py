"""Trials on an accelerator: without float64, in TF32, and with sums in another order each time."""

import sys
from contextlib import contextmanager, nullcontext

import gradreg_torch as gt
import pytest
import torch
from torch import nn
from torch.autograd import Function

device = sys.modules.get("tests.emulated.device")
if device is None:
    pytest.skip("needs the emulated device of `nox -s device`", allow_module_level=True)
HERE = device.NAME
N, M = 6, 5


@contextmanager
def small():
    """TF32, and no float64."""
    with device.float64(False), device.tf32():
        yield


DEVICES = {
    "plain": nullcontext,
    "no float64": lambda: device.float64(False),
    "TF32": device.tf32,
    "TF32, no float64": small,
    "sums in another order": device.unordered,
}


@pytest.fixture(params=DEVICES)
def _accelerator(request):
    with DEVICES[request.param]():
        yield


class Right(Function):
    """tanh(x wᵀ)."""

    @staticmethod
    def forward(ctx, x, w):
        ctx.save_for_backward(x, w)
        return (x @ w.T).tanh()

    @classmethod
    def slope(cls, x, w):
        return 1 - (x @ w.T).tanh().square()

    @classmethod
    def backward(cls, ctx, g):
        x, w = ctx.saved_tensors
        g = g * cls.slope(x, w)
        return g @ w, g.T @ x


class Detached(Right):
    @classmethod
    def slope(cls, x, w):
        return Right.slope(x, w).detach()


class Off(Right):
    """A slope that is 3 % too large."""

    @classmethod
    def slope(cls, x, w):
        return 1.03 * Right.slope(x, w)


def net(function):
    torch.manual_seed(0)
    first, last = nn.Linear(8, 16).to(HERE), nn.Linear(16, M).to(HERE)
    x = torch.randn(N, 8, generator=torch.Generator().manual_seed(1)).to(HERE)
    return lambda x: last(function.apply(x, first.weight)), x


@pytest.mark.usefixtures("_accelerator")
@pytest.mark.parametrize("function", [Detached, Off])
def test_wrong_functions_with_products_are_refused(function):
    with pytest.raises(ValueError, match=r"differentiated twice|is the derivative"):
        gt.frobreg(*net(function), mode="reverse")


@pytest.mark.usefixtures("_accelerator")
def test_right_functions_with_products_are_not():
    gt.frobreg(*net(Right), mode="reverse").backward()


def costs():
    """A matrix of the costs of mistakes, which a loss holds."""
    return torch.randn(M, M, generator=torch.Generator().manual_seed(5)).to(HERE)


def loss_with_costs(change):
    C = costs()
    return lambda z, y: (((z - y) @ C) * change((z - y) @ C)).mean(dim=1)


def outputs():
    """Logits, their x, and targets."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, M)).to(HERE)
    x, y = torch.randn(N, 8).to(HERE), torch.randn(N, M).to(HERE)
    return model, x, y


@pytest.mark.usefixtures("_accelerator")
def test_a_wrong_loss_is_refused():
    model, x, y = outputs()
    with pytest.raises(ValueError, match="expected a loss that can be differentiated twice"):
        gt.doubleback(model, x, y, loss=loss_with_costs(torch.Tensor.detach))


@pytest.mark.usefixtures("_accelerator")
def test_a_right_loss_is_not():
    model, x, y = outputs()
    gt.doubleback(model, x, y, loss=loss_with_costs(lambda off: off)).backward()


@pytest.mark.usefixtures("_accelerator")
def test_a_table_that_examples_share_is_not_cut():
    model, x, _ = outputs()
    table = torch.randn(N, N, generator=torch.Generator().manual_seed(2)).to(HERE)
    penalty = gt.FrobReg(fraction=0.5, generator=torch.Generator(HERE).manual_seed(0))
    with pytest.raises(ValueError, match="whose rows are not the examples"):
        penalty(lambda x, t: model(x + (x[:, :N] @ t)[:, :1]), (x, table), wrt=0)


class In32(Function):
    """sin 3t, in float32 whatever t is."""

    @staticmethod
    def forward(ctx, t):
        ctx.save_for_backward(t)
        return (3 * t.float()).sin().to(t.dtype)

    @staticmethod
    def backward(ctx, g):
        (t,) = ctx.saved_tensors
        return (3 * g * (3 * t.float()).cos()).to(t.dtype)


@pytest.mark.parametrize("mode", ["finite_difference", "one_sided_difference"])
def test_the_step_fits_a_function_that_computes_in_float32_at_every_step(mode):
    """Steps 3 and 5 read no values, and had the step of float64: 0.5 % off, and 200 %."""
    layers = [nn.Linear(8, 16).double().to(HERE), nn.Linear(16, M).double().to(HERE)]
    x, r = (torch.randn(N, k, dtype=torch.float64).to(HERE) for k in (8, M))

    def gradient(mode):
        value = gt.spectreg(
            lambda x: layers[1](In32.apply(layers[0](x))), x, probes=r[:, :, None], mode=mode
        )
        return torch.autograd.grad(value, layers[0].weight)[0]

    expected = gradient("reverse")
    for _ in range(5):
        assert (gradient(mode) - expected).norm() < 2e-3 * expected.norm()
