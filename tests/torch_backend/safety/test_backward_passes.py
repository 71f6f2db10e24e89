"""Functions whose backward pass has no graph, or is no derivative: right, or an error."""

import warnings

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch_backend.safety.common import Around, Cube, gradients


class CubeOnce(Cube):
    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, g):
        (t,) = ctx.saved_tensors
        return 3 * t**2 * g


class RoundStraightThrough(torch.autograd.Function):
    @staticmethod
    def forward(ctx, t):
        return t.round()

    @staticmethod
    def backward(ctx, g):
        return g


def leaky_by_hand(t):
    return torch.where(t > 0, t, t / 10)


def detached_factor(t):
    return t.detach() * t


@pytest.mark.parametrize("beside", [True, False])
@pytest.mark.parametrize("function", [Cube, CubeOnce])
def test_a_backward_pass_without_a_graph(function, beside, x):
    """Reverse mode would lose all of the gradient through it, or a part, without a word."""
    model, plain = Around(function.apply, beside), Around(lambda t: t**3, beside)
    with pytest.raises(ValueError, match=rf"got {function.__name__}, which cannot; .* records"):
        gt.frobreg(model, x, mode="reverse")
    at = x.clone().requires_grad_()
    with pytest.raises(ValueError, match=f"got {function.__name__}"):
        gt.frobreg(model(at), at)
    with pytest.warns(UserWarning, match=f"{function.__name__} cannot be differentiated twice"):
        value = gt.frobreg(model, x)
    expected = gt.frobreg(plain, x)
    torch.testing.assert_close(value, expected)
    torch.testing.assert_close(
        gradients(value, model), gradients(expected, plain), rtol=1e-7, atol=1e-7
    )


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    "f",
    [torch.tanh, RoundStraightThrough.apply, F.relu, leaky_by_hand, detached_factor],
    ids=["tanh", "straight-through", "relu", "leaky by hand", "detached factor"],
)
def test_right_functions_are_no_false_alarm(f, dtype, x):
    model = Around(f).to(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gt.frobreg(model, x.to(dtype)).backward()


def test_a_nonlinear_backward_pass_is_refused(x):
    """A hook that clips gradients: Jᵀr is then no product with a Jacobian."""

    class Clipped(nn.Module):
        def forward(self, x):
            h = 9 * x
            h.register_hook(lambda g: g.clamp(-0.1, 0.1))
            return h.tanh()

    for mode in ("reverse", "auto"):
        with pytest.raises(ValueError, match="expected backward hooks that leave gradients"):
            gt.frobreg(Clipped(), x, mode=mode)
