"""DoubleBack refuses a loss without a second derivative in any precision, and no linear one."""

from functools import partial

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from gradreg_torch import _loss_trial
from gradreg_torch._engine.one_sided import one_sided
from torch import nn
from torch.autograd.function import once_differentiable

# Few: of many numbers one lies at a rounding, and moves with the shortest step.
X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.arange(6) % 3


class Unrecorded(torch.autograd.Function):
    """Cross-entropy, whose backward pass records no graph."""

    @staticmethod
    def forward(ctx, z, y):
        ctx.save_for_backward(z, y)
        return F.cross_entropy(z.float(), y, reduction="none").to(z.dtype)

    @staticmethod
    def backward(ctx, grad):
        z, y = ctx.saved_tensors
        with torch.no_grad():
            p = z.float().softmax(1) - F.one_hot(y, z.shape[1])
            return (p * grad[:, None]).to(z.dtype), None


class Once(Unrecorded):
    """The same by torch's decorator."""

    backward = staticmethod(once_differentiable(Unrecorded.backward))


class Saved(Unrecorded):
    """The same, with p - y saved as a constant of the lowest precision."""

    @staticmethod
    def forward(ctx, z, y):
        p = (z.float().softmax(1) - F.one_hot(y, z.shape[1])).bfloat16()
        ctx.save_for_backward(p)
        return F.cross_entropy(z.float(), y, reduction="none").to(z.dtype)

    @staticmethod
    def backward(ctx, grad):
        return ctx.saved_tensors[0].to(grad.dtype) * grad[:, None], None


def net(dtype):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(dtype)


def one_hot(z, y):
    return F.one_hot(y, z.shape[1]).to(z.dtype)


DTYPES = [torch.float64, torch.float32, torch.bfloat16, torch.float16]


@pytest.mark.parametrize("inside", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("function", [Unrecorded, Once, Saved])
def test_a_second_derivative_that_is_missing(function, dtype, inside):
    """In bfloat16 a step for float32 moved nothing: parameter gradients were off by 20 %."""

    def loss(z, y):
        return function.apply(z.to(inside), y).to(z.dtype)

    with pytest.raises(ValueError, match="expected a loss that can be differentiated twice"):
        gt.doubleback(net(dtype), X.to(dtype), Y, loss=loss, mode="reverse")


LINEAR = {
    "one logit": lambda z, y: -z.gather(1, y[:, None])[:, 0],
    "absolute": lambda z, y: (z - one_hot(z, y)).abs().sum(1),
    "hinge": lambda z, y: (1 - z * (2 * one_hot(z, y) - 1)).clamp(min=0).mean(1),
    "quantile": lambda z, y: torch.maximum(
        0.9 * (one_hot(z, y) - z), 0.1 * (z - one_hot(z, y))
    ).sum(1),
}


@pytest.mark.parametrize("inside", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", LINEAR)
def test_a_loss_that_is_linear_on_pieces(name, dtype, inside):
    def loss(z, y):
        return LINEAR[name](z.to(inside), y).to(z.dtype)

    assert gt.doubleback(net(dtype), X.to(dtype), Y, loss=loss, mode="reverse") > 0


def cross_entropy(z, y, **options):
    return F.cross_entropy(z, y, reduction="none", **options)


def focal(z, y, weight=lambda p: p):
    """Cross-entropy times (1 - p)² of the true class."""
    return weight((1 - (-cross_entropy(z, y)).exp()).square()) * cross_entropy(z, y)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=str)
def test_a_part_of_the_second_derivative_is_missing(dtype):
    """A weight behind detach(): the penalty's value was right, its gradient was off."""

    def detached(z, y):
        return focal(z, y, torch.Tensor.detach)

    model, x = net(dtype), X.to(dtype)
    with pytest.raises(ValueError, match=r"differentiated twice.*lacks a part.*detach\(\)"):
        gt.doubleback(model, x, Y, loss=detached)
    value = gt.doubleback(model, x, Y, loss=focal)  # without it
    assert value.requires_grad


class Weighted(torch.autograd.Function):
    """Cross-entropy times a weight of the true class's p, whose own part is saved as a constant."""

    kept = staticmethod(torch.Tensor.detach)
    dtype = None

    @classmethod
    def parts(cls, z, y):
        """p, its true entry, and the labels, in the precision that the function computes in."""
        e = F.one_hot(y, z.shape[1])
        p = z.to(cls.dtype or z.dtype).softmax(1)
        return p, (p * e).sum(1, keepdim=True), e

    @classmethod
    def forward(cls, ctx, z, y):
        _, q, _ = cls.parts(z, y)
        ctx.save_for_backward(z, y, cls.kept(q))
        return (-(1 - q) * q.log())[:, 0].to(z.dtype)

    @classmethod
    def backward(cls, ctx, grad):
        z, y, kept = ctx.saved_tensors
        p, q, e = cls.parts(z, y)
        q = q if cls.kept is not Weighted.kept else kept
        # d/dz of -(1 - q) log q is (log q - (1 - q) / q) q (e - p)
        return ((q * q.log() - (1 - q)) * (e - p) * grad[:, None]).to(z.dtype), None


class Right(Weighted):
    """The same, with every part a function of z."""

    kept = staticmethod(torch.Tensor.clone)


class RightInSingle(Right):
    """The same in float32."""

    dtype = torch.float32


class RightInHalf(Right):
    """The same in bfloat16."""

    dtype = torch.bfloat16


@pytest.mark.parametrize("scale", [0.1, 3])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
def test_a_function_of_which_a_part_has_no_second_derivative(dtype, scale):
    """It was not tried: a function may hide bfloat16, in which differences say nothing."""
    model = net(dtype)
    with torch.no_grad():
        model[2].weight.mul_(scale)
    with pytest.raises(ValueError, match=r"differentiated twice.*lacks a part"):
        gt.doubleback(model, X.to(dtype), Y, loss=Weighted.apply, mode="reverse")


class SingleOnly(Weighted):
    """The same, of float32 alone."""

    @classmethod
    def forward(cls, ctx, z, y):
        if z.dtype != torch.float32:
            raise TypeError("a kernel of float32")
        return super().forward(ctx, z, y)


def test_a_function_that_float64_cannot_try():
    with pytest.raises(ValueError, match=r"differentiated twice.*lacks a part"):
        gt.doubleback(net(torch.float32), X.float(), Y, loss=SingleOnly.apply)


@pytest.mark.parametrize("scale", [0.1, 1, 3, 10])
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("function", [Right, RightInSingle, RightInHalf])
def test_a_function_that_is_right(function, dtype, scale):
    model = net(dtype)
    with torch.no_grad():
        model[2].weight.mul_(scale)
    for seed in range(5):
        x = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)).to(dtype)

        def loss(z, y, _=seed):  # another loss, and not one that is known to be right
            return function.apply(z, y)

        assert gt.doubleback(model, x, Y, loss=loss, mode="reverse").requires_grad


class Loss:
    """An object to call."""

    def __init__(self, function):
        self.function = function

    def __call__(self, z, y):
        return self.function.apply(z, y)


def applied(z, y, function):
    return function.apply(z, y)


looked_up = None


def of_global(function):
    """A loss that looks its function up in the globals."""
    globals()["looked_up"] = function
    return by_global


def by_global(z, y):
    return looked_up.apply(z, y)


MADE = {
    "global": of_global,
    "partial": lambda function: partial(applied, function=function),
    "object": Loss,
    "method": lambda function: Loss(function).__call__,
    "apply": lambda function: function.apply,
    "closure": lambda function: lambda z, y: function.apply(z, y),
    "default": lambda function: lambda z, y, f=function: f.apply(z, y),
    "named default": lambda function: lambda z, y, *, f=function: f.apply(z, y),
}


@pytest.mark.parametrize("name", MADE)
def test_a_loss_is_not_taken_for_one_that_is_gone(name):
    """Ids were compared, which are used again: every other wrong loss was believed."""
    model = net(torch.float64)
    for _ in range(20):
        gt.doubleback(model, X, Y, loss=MADE[name](Right))
        with pytest.raises(ValueError, match="lacks a part"):
            gt.doubleback(model, X, Y, loss=MADE[name](Weighted))


@pytest.mark.parametrize("name", MADE)
def test_a_loss_made_anew_is_tried_once(name):
    calls = []

    class Counted(Right):
        @classmethod
        def forward(cls, ctx, z, y):
            calls.append(1)
            return super().forward(ctx, z, y)

    model = net(torch.float64)
    kept = MADE[name](Counted)
    gt.doubleback(model, X, Y, loss=kept)
    calls.clear()
    gt.doubleback(model, X, Y, loss=kept if name in ("object", "method") else MADE[name](Counted))
    assert len(calls) == 1


SMOOTH = {
    "cross-entropy": cross_entropy,
    "smoothed labels": lambda z, y: cross_entropy(z, y, label_smoothing=0.1),
    "low temperature": lambda z, y: cross_entropy(z / 0.01, y),
    "noise": lambda z, y: cross_entropy(z + torch.randn_like(z), y),
    "focal": focal,
    "Huber": lambda z, y: F.huber_loss(z, one_hot(z, y), reduction="none").sum(1),
    "squared hinge": lambda z, y: (1 - z * (2 * one_hot(z, y) - 1)).clamp(min=0).square().mean(1),
    "margin": lambda z, y: (1 - z.gather(1, y[:, None]) + z).clamp(min=0).sum(1),
    "root": lambda z, y: (z.abs() + 1e-6).sqrt().sum(1),
    "cosine": lambda z, y: 1 - F.cosine_similarity(z, one_hot(z, y)),
}


@pytest.mark.parametrize("scale", [0.1, 30])
@pytest.mark.parametrize("inside", [torch.float64, torch.float32, torch.bfloat16], ids=str)
@pytest.mark.parametrize("dtype", DTYPES[:3], ids=str)
@pytest.mark.parametrize("name", SMOOTH)
def test_a_loss_that_is_right(name, dtype, inside, scale):
    """Differences that agreed by chance refused it, on some processors or at some outputs."""
    model = net(dtype)
    with torch.no_grad():
        model[2].weight.mul_(scale)
    for seed in range(3):
        x = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)).to(dtype)

        def loss(z, y, _=seed):
            return SMOOTH[name](z.to(inside), y).to(z.dtype)

        assert gt.doubleback(model, x, Y, loss=loss, mode="reverse").requires_grad


def test_a_second_derivative_that_underflows_is_not_lost():
    """At a temperature of 0.01 that of logits apart is 1e-50, and 0 in bfloat16."""
    for seed in range(10):
        g = torch.Generator().manual_seed(seed)
        z = (torch.randn(6, 3, generator=g, dtype=torch.float64) * 10).bfloat16().requires_grad_()

        def loss(z, y, _=seed):
            return SMOOTH["low temperature"](z.double(), y).to(z.dtype)

        _loss_trial.require_fit(z, Y, loss)


def test_what_is_rounded_does_not_fit_all_steps():
    """At steps of 1, ½ and ¼ a slope of 3.6 moves whole numbers by 4, 2 and 1, as one of 4 does."""
    for slope in torch.linspace(3.55, 4.45, 20, dtype=torch.float64):
        moved, apart = one_sided(lambda s, a=slope: torch.round(a * s), 1)
        assert apart > 0.1 * moved.abs()
    moved, apart = one_sided(lambda s: torch.tensor(3.6 * s, dtype=torch.float64), 1)
    assert apart < 1e-14
    assert abs(moved - 3.6) < 1e-14
