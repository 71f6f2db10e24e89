"""A backward pass that clips, normalises or selects gradients is refused at any size of theirs."""

import gradreg_torch as gt
import pytest
import torch
from gradreg_torch._engine.linear_trial import require_linear
from torch import nn

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0))
MESSAGE = "expected a backward pass that is linear"


class Clip(torch.autograd.Function):
    @staticmethod
    def forward(t):
        return t.view_as(t)

    @staticmethod
    def setup_context(ctx, inputs, output):
        pass

    @staticmethod
    def backward(ctx, g):
        return g.clamp(-9, 9)

    @staticmethod
    def vmap(info, dims, t):
        return Clip.apply(t), dims[0]


class Guided(torch.autograd.Function):
    """A ReLU as guided backpropagation has it."""

    @staticmethod
    def forward(ctx, t):
        ctx.save_for_backward(t)
        return t.relu()

    @staticmethod
    def backward(ctx, g):
        return g.clamp(min=0) * (ctx.saved_tensors[0] > 0)


def hooked(change):
    def layer(h):
        h = h.sin()
        if h.requires_grad:
            h.register_hook(change)
        return h

    return layer


def of_norm_one(g):
    """The gradient, its norm over the batch clipped at 9."""
    return g * (9 / g.norm()).clamp(max=1)


def larger_half(g):
    """The larger half of the entries of each example."""
    return g * (g.abs() >= g.abs().median(1, keepdim=True).values)


def signs(g):
    """The signs of the entries, times their mean size."""
    return g.sign() * g.abs().mean()


def identity(change):
    """The identity, a function whose backward pass changes the gradient."""

    class Identity(torch.autograd.Function):
        @staticmethod
        def forward(ctx, t):
            return t.view_as(t)

        @staticmethod
        def backward(ctx, g):
            return change(g)

    return lambda h: Identity.apply(h.sin())


NONLINEAR = {
    "clip by a function": lambda h: Clip.apply(h.sin()),
    "clip by a hook": hooked(lambda g: g.clamp(-9, 9)),
    "norm clipped by a hook": hooked(of_norm_one),
}
# Linear in a factor of the gradient, and in no sum.
SELECTING = {
    "the larger half, by a function": identity(larger_half),
    "the larger half of the batch, by a hook": hooked(lambda g: g * (g.abs() >= g.abs().median())),
    "signs by a function": identity(signs),
}


class Net(nn.Module):
    def __init__(self, f):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last, self.f = nn.Linear(4, 5), nn.Linear(5, 3), f

    def forward(self, x):
        return self.last(self.f(self.first(x)))


@pytest.mark.parametrize(
    ("dtype", "mode"),
    [
        (torch.float32, "auto"),
        (torch.float32, "finite_difference"),
        (torch.float64, "reverse"),
        (torch.bfloat16, "reverse"),
    ],
)
@pytest.mark.parametrize("name", NONLINEAR)
def test_a_clip_that_acts_on_large_gradients_only(name, dtype, mode):
    """A trial of one column does not show it: Jᵀr is right for small r, and wrong for others."""
    model, x = Net(NONLINEAR[name]).to(dtype), X.to(dtype)
    with pytest.raises(ValueError, match=MESSAGE):
        gt.frobreg(model, x, mode=mode)


@pytest.mark.parametrize("n", [1, 2, 6])
@pytest.mark.parametrize("name", SELECTING)
def test_a_selection_of_gradients(name, n):
    model, x = Net(SELECTING[name]), X[:n].clone().requires_grad_()
    for z in (model(x), model):
        with pytest.raises(ValueError, match=r"expected (a )?backward"):
            gt.frobreg(z, x)


@pytest.mark.parametrize("name", NONLINEAR)
def test_every_form(name):
    model, x = Net(NONLINEAR[name]), X.clone().requires_grad_()
    with pytest.raises(ValueError, match=MESSAGE):
        gt.frobreg(model(x), x)
    with torch.no_grad(), pytest.raises(ValueError, match=MESSAGE):
        gt.frobreg(model, X)
    assert not gt.check_model(model, X, torch.arange(6) % 3).ok


def test_positive_gradients_only():
    """Logits cannot run again, so that the function itself is not tried."""
    model, x = Net(Guided.apply), X.clone().requires_grad_()
    with pytest.raises(ValueError, match=MESSAGE):
        gt.frobreg(model(x), x)


def test_inside_a_transform():
    """There are no hooks there, and a function is still a function."""
    model = Net(NONLINEAR["clip by a function"])
    parameters = dict(model.named_parameters())

    def penalty(parameters):
        return gt.frobreg(lambda x: torch.func.functional_call(model, parameters, (x,)), X)

    with pytest.raises(ValueError, match=MESSAGE):
        torch.func.grad(penalty)(parameters)


def test_the_function_is_named():
    with pytest.raises(ValueError, match=r"\(Clip\)"):
        gt.frobreg(Net(NONLINEAR["clip by a function"]), X)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
def test_small_and_large_gradients_are_no_false_alarm(scale, dtype):
    model, plain = (Net(lambda h: scale * h.sin()).to(dtype) for _ in range(2))
    model.first.register_full_backward_hook(lambda *_: None)
    assert gt.frobreg(model, X.to(dtype)) == gt.frobreg(plain, X.to(dtype))


def test_a_hook_that_solves_to_a_tolerance():
    """It takes more steps for a larger gradient, so that it is not quite linear."""

    def solve(g):  # 0.8 · Σ 0.2ᵏ g = g
        found, term = g, g
        while term.abs().max() > 1e-5:
            term = 0.2 * term
            found = found + term
        return 0.8 * found

    model = Net(hooked(solve))
    torch.testing.assert_close(
        gt.frobreg(model, X), gt.frobreg(Net(torch.sin), X), rtol=1e-4, atol=1e-6
    )


def test_terms_that_cancel_do_not_enlarge_what_a_solver_is_off_by():
    """A thirtieth of the terms is left, and 0.3 % of them was taken for a tenth of it."""
    s = torch.cos(torch.arange(12.0).double()).reshape(3, 4)
    r = 2 * s + 0.1 * torch.cos(torch.arange(12.0).double() ** 2).reshape(3, 4)

    def forth(g):  # off by 0.3 %, the same for each multiple of g
        off = torch.sin(1000 * g / g.norm())
        return (g + 0.003 * g.norm() * off / off.norm(),)

    def larger(g):
        return (larger_half(g),)

    require_linear(forth, (r, forth(r)), (s, forth(s)), {torch.float64})
    s = s.flip(0)
    with pytest.raises(ValueError, match=MESSAGE):
        require_linear(larger, (r, larger(r)), (s, larger(s)), {torch.float64})


def test_float16_loses_small_gradients_and_is_not_tried():
    """In a model that casts its output to another precision, too."""
    model = Net(lambda h: (h * 1e-7).float()).half()
    model.last.float()
    with torch.no_grad():
        assert torch.isfinite(gt.frobreg(model, X.half()))


def test_a_product_that_underflows_says_nothing():
    """1024 times as large, it has digits again."""
    model = Net(lambda h: h * 1e-22 * 1e-22)
    assert gt.frobreg(model, X, mode="reverse") == 0
