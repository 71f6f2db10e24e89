"""A torch.autograd.Function, or a hook, with a wrong backward pass: refused, or differences."""

import gc
import warnings
from weakref import ref

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from gradreg_torch._engine import one_function
from gradreg_torch._engine.columns import without_pattern
from gradreg_torch._engine.jumps import jumps
from torch import nn

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.arange(6) % 3


def function(forward, backward):
    """A Function of t that saves t, and what forward returns beside its value."""

    class Own(torch.autograd.Function):
        @staticmethod
        def forward(ctx, t):
            out, *kept = forward(t)
            ctx.save_for_backward(t, *kept)
            return out

        @staticmethod
        def backward(ctx, grad):
            return backward(grad, *ctx.saved_tensors)

    return Own


class NewStyle(torch.autograd.Function):
    """t³ with setup_context, and 3t² saved as a constant."""

    @staticmethod
    def forward(t):
        return t**3

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(3 * inputs[0] ** 2)

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0]


class Linear(torch.autograd.Function):
    """x W, of several inputs, with the product of both saved as a constant in one of two terms."""

    @staticmethod
    def forward(ctx, x, W, name):
        ctx.save_for_backward(x, W, (x @ W).tanh())
        return (x @ W).tanh()

    @staticmethod
    def backward(ctx, grad):
        x, W, y = ctx.saved_tensors
        grad = grad * (1 - y * (x @ W).tanh())
        return grad @ W.T, x.T @ grad, None


SECOND = {
    "all of it": function(lambda t: (t**3, 3 * t * t), lambda g, t, slope: g * slope),
    "a part": function(lambda t: (t**3 + t**2, t * t), lambda g, t, s: g * (3 * s + 2 * t)),
    "setup_context": NewStyle,
    "a factor": function(lambda t: (t.sin() * t, t.cos()), lambda g, t, c: g * (t.sin() + t * c)),
}
FIRST = {
    "reversed": function(lambda t: (t.clone(),), lambda g, t: -g),
    "scaled": function(lambda t: (t.clone(),), lambda g, t: 0.1 * g),
    "a factor of three": function(lambda t: (t**3,), lambda g, t: g * t * t),
    "2 % too large": function(lambda t: (t.clone(),), lambda g, t: 1.02 * g),
    "an entry is left out": function(
        lambda t: (t.clone(),), lambda g, t: torch.cat([0 * g[:, :1], g[:, 1:]], 1)
    ),
    "centred": function(lambda t: (t.clone(),), lambda g, t: g - g.mean(0)),
}
RIGHT = {
    "identity": function(lambda t: (t.clone(),), lambda g, t: g),
    "cube": function(lambda t: (t**3,), lambda g, t: g * 3 * t * t),
    "relu": function(lambda t: (t.relu(),), lambda g, t: g * (t > 0)),
    "hard tanh": function(lambda t: (t.clamp(-1, 1),), lambda g, t: g * (t.abs() < 1)),
    "root": function(lambda t: ((t * t + 1).sqrt(),), lambda g, t: g * t / (t * t + 1).sqrt()),
    "rounded": function(lambda t: (t.round(),), lambda g, t: g),
    "quantised": function(lambda t: ((t * 64).round() / 64,), lambda g, t: g),
    "in single": function(
        lambda t: (t.float().sin().to(t.dtype),), lambda g, t: (g.float() * t.float().cos()).to(t)
    ),
    "in half": function(
        lambda t: (t.bfloat16().sin().to(t.dtype),),
        lambda g, t: (g.bfloat16() * t.bfloat16().cos()).to(t.dtype),
    ),
    "over the examples' entries": function(
        lambda t: (t.softmax(1),),
        lambda g, t: t.softmax(1) * (g - (g * t.softmax(1)).sum(1, keepdim=True)),
    ),
}


def net(f, width=5):
    torch.manual_seed(0)

    class Layer(nn.Module):
        def forward(self, h):
            return f(h)

    return nn.Sequential(nn.Linear(4, width), Layer(), nn.Tanh(), nn.Linear(width, 3)).double()


def gradient(value, model):
    found = torch.autograd.grad(value, list(model.parameters()), materialize_grads=True)
    return torch.cat([g.flatten() for g in found])


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("name", SECOND)
def test_a_second_derivative_that_is_wrong(name, dtype):
    """The penalty's value was right, its gradient off by 2 % to 19 times, without a word."""
    model, x = net(SECOND[name].apply).to(dtype), X.to(dtype)
    with pytest.raises(ValueError, match=r"constant in whose backward.*mode='finite_difference'"):
        gt.frobreg(model, x, mode="reverse")
    with pytest.warns(UserWarning, match="takes finite differences"):
        got = gradient(gt.frobreg(model, x), model)
    expected = by_differences(model.double())
    assert (got - expected).norm() < (1e-6 if dtype is torch.float64 else 2e-3) * expected.norm()


def by_differences(model, h=1e-6):
    """The gradient of ‖J‖² by differences of J, which autograd has right, entry by entry."""
    at = X.clone().requires_grad_()

    def value():
        z = model(at)
        rows = [torch.autograd.grad(z[:, k].sum(), at, retain_graph=True)[0] for k in range(3)]
        return float(torch.stack(rows).square().sum() / len(X))

    found = []
    for p in model.parameters():
        for i in range(p.numel()):
            with torch.no_grad():
                p.view(-1)[i] += h
                above = value_of(value)
                p.view(-1)[i] -= 2 * h
                found.append((above - value_of(value)) / (2 * h))
                p.view(-1)[i] += h
    return torch.tensor(found, dtype=torch.float64)


@torch.enable_grad()
def value_of(value):
    return value()


def test_a_function_of_several_inputs():
    W = nn.Parameter(torch.randn(5, 5, dtype=torch.float64))
    model = net(lambda h: Linear.apply(h, W, "a name"))
    with pytest.raises(ValueError, match=r"Linear \(a constant"):
        gt.jacreg(model, X, mode="reverse")


@pytest.mark.parametrize("kind", [*SECOND.values(), *FIRST.values()])
def test_a_function_of_weights_alone_is_differentiated_once(kind):
    """A quantiser of weights, say: a penalty takes no second derivative of it."""
    W = nn.Parameter(torch.randn(5, 5, dtype=torch.float64))
    model = net(lambda h: h @ kind.apply(W))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert gt.frobreg(model, X) > 0
    embedded = nn.Linear(4, 4).double()(X)  # x that is computed
    with pytest.raises(ValueError, match="expected a"):
        gt.frobreg(net(kind.apply), embedded, mode="reverse")


@pytest.mark.parametrize("mode", ["auto", "reverse"])
@pytest.mark.parametrize("name", FIRST)
def test_a_backward_pass_that_is_not_the_derivative(name, mode):
    with pytest.raises(ValueError, match="expected a backward pass that is the derivative"):
        gt.spectreg(net(FIRST[name].apply), X, generator=torch.Generator(), mode=mode)


@pytest.mark.parametrize("width", [5, 500])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", RIGHT)
def test_right_functions(name, dtype, width):
    """Kinks, roundings and lower precisions are no false alarm; what is rounded has a rule."""
    if name == "in half" and dtype is torch.float64:
        pytest.skip("rounding looks like a part without a graph, and is refused as that")
    model = net(RIGHT[name].apply, width).to(dtype)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for seed in range(3):
            x = torch.randn(6, 4, generator=torch.Generator().manual_seed(seed)).to(dtype)
            gt.frobreg(model, x, mode="reverse").backward()


def test_the_function_is_left_as_it_was():
    class Inherited(SECOND["all of it"]):
        pass

    before = dict(vars(NewStyle)), "forward" in vars(Inherited)
    for kind in (NewStyle, Inherited):
        with pytest.raises(ValueError, match="differentiated twice"):
            gt.frobreg(net(kind.apply), X, mode="reverse")
    assert (dict(vars(NewStyle)), "forward" in vars(Inherited)) == before


def test_a_right_function_is_tried_once():
    calls = []
    kind = function(lambda t: (calls.append(1), (t.sin(),))[1], lambda g, t: g * t.cos())
    model = net(kind.apply)
    gt.frobreg(model, X)
    calls.clear()
    for _ in range(4):
        gt.frobreg(model, X)
    assert len(calls) == 4


def test_a_value_alone_is_tried_too():
    with torch.no_grad(), pytest.raises(ValueError, match="expected a backward pass that is the"):
        gt.frobreg(net(FIRST["scaled"].apply), X)


def verdict(kind, t):
    autocast = torch.autocast("cpu", enabled=False)
    return one_function.verdict(kind, [one_function.Called((t,), autocast)])


def test_terms_that_cancel_say_nothing():
    """⟨g, d⟩ is zero along the first direction, for a gradient of three times the right size."""
    like = torch.zeros(1, 2, dtype=torch.float64)
    (one, other), (d, e) = (without_pattern(like, seed)[0] for seed in (5, 1))
    t = torch.tensor([[1.0, -float(one * d / (other * e))]], dtype=torch.float64)
    kind = function(lambda t: (t.clone(),), lambda g, t: 3 * g)
    assert verdict(kind, t.requires_grad_()) == "first"


CHANCE = {
    "saturated, in single": (lambda t: t.float().softmax(1).to(t.dtype), (6, 3), 50),
    "a kink at a number of bfloat16": (lambda t: F.gelu(t.clamp(-1, 1)), (64, 10), 1),
}


@pytest.mark.parametrize("name", CHANCE)
def test_rounded_differences_that_agree_by_chance_say_nothing(name):
    value, shape, scale = CHANCE[name]

    def derivative(g, t):
        with torch.enable_grad():
            t = t if t.requires_grad else t.requires_grad_()
            return torch.autograd.grad(value(t), t, g, create_graph=True)[0]

    kind = function(lambda t: (value(t),), derivative)
    for seed in range(20):
        t = torch.randn(shape, generator=torch.Generator().manual_seed(seed)).bfloat16() * scale
        assert verdict(kind, t.requires_grad_()) == ""


ROUNDED = {
    "2 % of it": (lambda t: 0.98 * t + 0.02 * (4 * t).round() / 4, range(20)),
    "3 % of it": (lambda t: 0.97 * t + 0.03 * (4 * t).round() / 4, range(20)),
    "a scale for each row": (
        lambda t: (t * (s := 7 / t.abs().amax(1, keepdim=True))).round() / s,
        (0, 6, 12, 13, 19),  # in others, parts of a twentieth or more are smooth
    ),
}


@pytest.mark.parametrize("name", ROUNDED)
def test_what_rounds_and_is_smooth_is_not_judged_to_a_hundredth(name):
    """Short differences show the smooth part alone, and straight-through estimators show both."""
    value, seeds = ROUNDED[name]
    kind = function(lambda t: (value(t),), lambda g, t: g)
    for seed in seeds:
        t = torch.randn(6, 8, generator=torch.Generator().manual_seed(seed)).double()
        assert verdict(kind, t.requires_grad_()) == ""


def test_estimators_that_are_smooth_in_a_part_pass_without_a_function():
    """As docs/check.md says."""
    codes = nn.Parameter(torch.randn(9, 5, generator=torch.Generator().manual_seed(0)).double())

    def scaled(t):
        return t.sign() * t.abs().mean(1, keepdim=True)

    def nearest(t):
        return codes[torch.cdist(t, codes).argmin(1)]

    kind = function(lambda t: (scaled(t),), lambda g, t: g)
    with pytest.raises(ValueError, match="expected a backward pass that is the derivative"):
        gt.frobreg(net(kind.apply), X)
    for value in (scaled, nearest):
        model = net(lambda h, value=value: h + (value(h) - h).detach())
        assert gt.frobreg(model, X, mode="reverse") > 0


@pytest.mark.parametrize(
    "value",
    [
        torch.sin,
        torch.relu,
        lambda t: t.clamp(-1, 1),
        lambda t: t + (1e5 * t).sigmoid(),
        lambda t: t.bfloat16().sin().to(t.dtype),
        lambda t: 1 / t,
        lambda t: t.abs().sqrt(),
    ],
)
def test_kinks_steep_slopes_poles_and_low_precision_are_no_jumps(value):
    for seed in range(5):
        t = torch.randn(6, 8, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
        assert not jumps(lambda h, t=t: value(t + h * t).flatten(), 2.0)


def test_logits_are_not_tried_and_a_warning_says_so():
    model, x = net(SECOND["all of it"].apply), X.clone().requires_grad_()
    with pytest.warns(UserWarning, match="not tried: the backward pass of Own"):
        gt.frobreg(model(x), x)
    with pytest.raises(ValueError, match="constant in whose backward"):  # the remedy
        gt.frobreg(model, X, mode="reverse")
    with pytest.raises(ValueError, match="constant in whose backward"):  # and its answer is kept
        gt.frobreg(model(x), x)


def test_right_logits_warn_no_more_when_the_model_was_tried():
    model, x = net(RIGHT["cube"].apply), X.clone().requires_grad_()
    gt.frobreg(model, X)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gt.frobreg(model(x), x)


def test_functions_of_torch_are_no_false_alarm():
    """Non-reentrant checkpoints and custom operators are Functions of Python too."""
    from torch.utils.checkpoint import checkpoint

    model = net(lambda h: checkpoint(lambda t: F.softplus(t), h, use_reentrant=False))
    torch.testing.assert_close(gt.frobreg(model, X), gt.frobreg(net(F.softplus), X))


def test_a_function_that_is_defined_in_each_pass_is_tried_in_few():
    passes = []

    def layer(h):
        passes.append(1)
        return function(lambda t: (t.sin(),), lambda g, t: g * t.cos()).apply(h)

    model = net(layer)
    for _ in range(20):
        gt.frobreg(model, X)
    assert len(passes) == 20 + 5  # in the passes 1, 2, 4, 8, 16


def test_functions_that_are_defined_anew_are_not_kept():
    """In each pass another class; what the passes showed is forgotten, and with it the class."""
    weight, classes = nn.Parameter(torch.ones(4, 3, dtype=X.dtype)), []

    def model(x):
        kind = function(lambda t: (t.sin(),), lambda grad, t: grad * t.cos())
        classes.append(ref(kind))
        return kind.apply(x @ weight)

    for _ in range(200):
        gt.frobreg(model, X)
    gc.collect()
    assert sum(kind() is not None for kind in classes) <= 70


@pytest.mark.parametrize("levels", [127, 32767])
def test_gradients_that_are_rounded_in_parts_of_the_largest(levels):
    """The value is right to the rounding. Its gradient, through the largest alone, was not."""

    def rounded(g, t):
        s = g.abs().amax(1, keepdim=True) / levels
        return (g / s).round() * s

    model = net(function(lambda t: (t.clone(),), rounded).apply, width=64).float()
    x = torch.randn(30, 4, generator=torch.Generator().manual_seed(0))
    with pytest.raises(ValueError, match="differentiated twice, got Own"):
        gt.frobreg(model, x, mode="reverse")
    with pytest.warns(UserWarning, match="takes finite differences"):
        got = gradient(gt.frobreg(model, x), model)
    plain = net(torch.clone, width=64).float()
    expected = gradient(gt.frobreg(plain, x), plain)
    assert (got - expected).norm() < 0.05 * expected.norm()
