"""torch.amp.custom_fwd(cast_inputs=…) saves copies that have no graph, under autocast alone."""

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.amp import custom_bwd, custom_fwd

X = torch.randn(8, 6, generator=torch.Generator().manual_seed(1))
Y = torch.tensor([0, 1, 2, 3] * 2)


def cast(dtype):
    """Swish and cross-entropy that compute in this dtype under autocast, None for no cast."""
    casts = {} if dtype is None else {"cast_inputs": dtype}

    class Swish(torch.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="cpu", **casts)
        def forward(ctx, t):
            ctx.save_for_backward(t)
            return t * t.sigmoid()

        @staticmethod
        @custom_bwd(device_type="cpu")
        def backward(ctx, grad):
            (t,) = ctx.saved_tensors
            s = t.sigmoid()
            return grad * (s + t * s * (1 - s))

    class CrossEntropy(torch.autograd.Function):
        @staticmethod
        @custom_fwd(device_type="cpu", **casts)
        def forward(ctx, z, y):
            ctx.save_for_backward(z, y)
            return F.cross_entropy(z.float(), y, reduction="none").to(z.dtype)

        @staticmethod
        @custom_bwd(device_type="cpu")
        def backward(ctx, grad):
            z, y = ctx.saved_tensors
            return grad[:, None] * (z.softmax(1) - F.one_hot(y, z.shape[1])), None

    return Swish, CrossEntropy


class Activation(nn.Module):
    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function.apply(x)


def network(function=None):
    torch.manual_seed(0)
    swish = nn.SiLU() if function is None else Activation(function)
    return nn.Sequential(nn.Linear(6, 12), swish, nn.Linear(12, 4))


def gradient(value, model):
    parts = torch.autograd.grad(
        value, list(model.parameters()), allow_unused=True, materialize_grads=True
    )
    return torch.cat([g.flatten() for g in parts])


def off(model, autocast=torch.bfloat16, **options):
    """The error of the gradient of DoubleBack under autocast, relative, against float32."""
    exact = network()
    expected = gradient(gt.doubleback(exact, X, Y), exact)
    with torch.autocast("cpu", autocast):
        penalty = gt.doubleback(model, X, Y, **options)
    got = gradient(penalty, model)
    return float((got - expected).norm() / expected.norm())


HALF = (torch.bfloat16, torch.float16)
COPIES = [(cast, half) for cast in (torch.float32, *HALF) for half in HALF if cast != half]


@pytest.mark.parametrize("first", [False, True], ids=["", "after a step without autocast"])
@pytest.mark.parametrize(("dtype", "autocast"), COPIES)
def test_in_the_model(dtype, first, autocast):
    """Gradients were off by a third."""
    model = network(cast(dtype)[0])
    if first:
        gt.doubleback(model, X, Y)
    with pytest.raises(ValueError, match=r"got Swish \(a constant .* mode='finite_difference'"):
        off(model, autocast, mode="reverse")
    assert off(model, autocast, mode="finite_difference") < 0.02
    with pytest.warns(UserWarning, match="mode='auto' takes finite differences"):
        assert off(model, autocast) < 0.02


@pytest.mark.parametrize("first", [False, True], ids=["", "after a step without autocast"])
@pytest.mark.parametrize("mode", ["reverse", "finite_difference"])
def test_as_the_loss(mode, first):
    """Gradients were off by a tenth."""
    model, loss = network(), cast(torch.float32)[1].apply
    if first:
        gt.doubleback(model, X, Y, loss=loss)
    with pytest.raises(ValueError, match="got one that cannot: the derivative of its derivative"):
        off(model, loss=loss, mode=mode)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("autocast", HALF)
@pytest.mark.parametrize("casts", [False, True])
def test_what_copies_nothing_is_right(casts, autocast):
    """A cast to the dtype that a tensor has is the tensor itself."""
    swish, cross_entropy = cast(autocast if casts else None)
    assert off(network(swish), autocast, loss=cross_entropy.apply) < 0.03
