"""Models of which autograd, or the batch, keeps something back: the right number, or an error."""

import warnings
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace

import gradreg_torch as gt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from gradreg_torch import _loss_trial
from torch import nn

SEED = 0


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx, t):
        ctx.save_for_backward(t)
        return t**3

    @staticmethod
    def backward(ctx, g):
        (t,) = ctx.saved_tensors
        with torch.no_grad():
            return 3 * t**2 * g


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


class Around(nn.Module):
    """W₂ f(W₁ x) + W₃ x: only a part of the gradient goes through f."""

    def __init__(self, f, beside=True):
        super().__init__()
        torch.manual_seed(SEED)
        self.first, self.last = nn.Linear(4, 5).double(), nn.Linear(5, 3).double()
        self.beside, self.f = nn.Linear(4, 3).double() if beside else None, f

    def forward(self, x):
        z = self.last(self.f(self.first(x)))
        return z if self.beside is None else z + self.beside(x)


@pytest.fixture
def x():
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)


def gradients(value, model):
    parameters = list(model.parameters())
    found = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in found])


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

    with pytest.raises(ValueError, match="cannot"):
        gt.frobreg(Clipped(), x, mode="reverse")
    with (
        pytest.raises(ValueError, match="a backward pass that is not its derivative"),
        pytest.warns(UserWarning, match="finite differences"),
    ):
        gt.frobreg(Clipped(), x)


class BatchNormByHand(nn.Module):
    def forward(self, x):
        return (x - x.mean(0)) / (x.var(0) + 1e-5).sqrt()


class MinibatchDeviation(nn.Module):
    def forward(self, x):
        return torch.cat([x, x.std(0).mean().expand(len(x), 1)], dim=1)


class GraphConvolution(nn.Module):
    def forward(self, x):
        return x + x.roll(1, dims=0)


class TimeFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 3).double()

    def forward(self, x):
        return self.lstm(x[:, None])[0][:, 0]


COUPLED = [BatchNormByHand, MinibatchDeviation, GraphConvolution, TimeFirst]


def behind(layer):
    torch.manual_seed(SEED)
    return nn.Sequential(layer(), nn.LazyLinear(3, dtype=torch.float64))


@pytest.mark.parametrize("layer", COUPLED)
@pytest.mark.parametrize("grad", [True, False])
def test_examples_that_see_each_other(layer, grad, x):
    """Where every example must be a function of itself alone, coupling of any kind is refused."""
    model, r = behind(layer), torch.randn(6, 3, 1, dtype=torch.float64)
    with torch.set_grad_enabled(grad):
        model(x)
        for call in (
            partial(gt.frobreg, model, x),
            partial(gt.jacreg, model, x),
            partial(gt.spectreg, model, x, probes=r[:1], shared_probe=True),
            partial(gt.spectreg, model, x, probes=r, batchnorm="error"),
            partial(gt.spectreg, model, x, probes=r, batchnorm="eval"),
        ):
            with pytest.raises(ValueError, match="examples depend on each other"):
                call()


@pytest.mark.parametrize("layer", COUPLED)
def test_the_derivative_of_the_whole_batch(layer, x):
    """With batchnorm="batch" a penalty that draws its own R is that of the batch as a whole."""
    model, r = behind(layer), torch.randn(6, 3, 1, dtype=torch.float64)
    model(x)
    J = torch.autograd.functional.jacobian(model, x)  # (n, k, n, i)
    expected = torch.einsum("nk,nkbi->bi", r[:, :, 0], J).square().sum() / 6
    torch.testing.assert_close(gt.spectreg(model, x, probes=r), expected)


@pytest.mark.parametrize("layer", COUPLED)
def test_differences_know_that_examples_see_each_other(layer, x):
    model, r = behind(layer), torch.randn(6, 3, 1, dtype=torch.float64)
    model(x)
    found = [
        gradients(gt.spectreg(model, x, probes=r, mode=mode), model)
        for mode in ("reverse", "finite_difference")
    ]
    torch.testing.assert_close(*found, rtol=1e-7, atol=1e-7)
    with pytest.raises(ValueError, match="expected reduction='mean' or 'sum'"):
        gt.spectreg(model, x, probes=r, mode="finite_difference", reduction="none")


def ghost_batch_norm(groups, axis):
    """Batch norm over groups of the batch, as in large-batch training; or dealt out to them."""

    def normed(x):
        parts = x.unflatten(0, (groups, -1))
        deviation = (parts.var(axis, keepdim=True) + 1e-5).sqrt()
        return ((parts - parts.mean(axis, keepdim=True)) / deviation).flatten(0, 1)

    return normed


def reads(i, j):
    """Example i sees example j, and no other pair is coupled."""

    def coupled(x):
        return torch.cat([x[:i], x[i : i + 1] + x[j : j + 1], x[i + 1 :]])

    return coupled


PARTLY_COUPLED = {
    **{f"{k} groups": (32, ghost_batch_norm(k, 1)) for k in (2, 4, 16)},
    **{f"every {k}th": (32, ghost_batch_norm(32 // k, 0)) for k in (2, 4, 16)},
    **{f"rolled by {s}": (8, lambda x, s=s: x + x.roll(s, dims=0)) for s in range(1, 8)},
    **{f"{i} sees {j}": (9, reads(i, j)) for i in range(9) for j in range(9) if i != j},
}


@pytest.mark.parametrize("name", PARTLY_COUPLED)
def test_any_two_examples_that_see_each_other(name):
    """Products that are zero in every second example did not see a roll by 2, nor groups."""
    (n, layer), last = PARTLY_COUPLED[name], nn.Linear(4, 3).double()
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    for mode in ("reverse", "forward"):
        with pytest.raises(ValueError, match="examples depend on each other"):
            gt.frobreg(lambda x: last(layer(x)), x, mode=mode)


@pytest.mark.parametrize("layer", COUPLED)
@pytest.mark.parametrize("policy", ["error", "eval"])
def test_forward_mode_knows_that_examples_see_each_other(layer, policy, x):
    """It believed that they do not, unless torch's batch norm said so."""
    model, V = behind(layer), torch.randn(6, 4, 1, dtype=torch.float64)
    model(x)
    for call in (
        partial(gt.frobreg, model, x, mode="forward"),
        partial(gt.jacreg, model, x, mode="forward"),
        partial(gt.spectreg, model, x, probes=V, mode="forward", batchnorm=policy),
    ):
        with pytest.raises(ValueError, match="examples depend on each other"):
            call()
    J = torch.autograd.functional.jacobian(model, x)  # (n, k, n, i)
    expected = torch.einsum("nkbi,bi->nk", J, V[:, :, 0]).square().sum() / 6
    torch.testing.assert_close(gt.spectreg(model, x, probes=V, mode="forward"), expected)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6, 7, 20, 21, 50, 257])
def test_sets_that_separate_any_two_examples(n):
    sets = gt._engine.trial.separating(n, torch.device("cpu"))
    assert sets.shape[1] == n
    assert sets.any(1).all()
    first_alone = (sets[:, :, None] & ~sets[:, None]).any(0)
    assert torch.equal(first_alone, ~torch.eye(n, dtype=torch.bool)) or n == 1


def test_one_example_alone_sees_no_other(x):
    assert gt.frobreg(behind(GraphConvolution), x[:1]) > 0


def test_the_answer_for_one_model_is_not_another_s(x):
    """The same operations with the same parameter: a mean over features, then over the batch."""
    last = nn.Linear(4, 3).double()
    assert gt.frobreg(lambda x: last(x - x.mean(1, keepdim=True)), x) > 0
    with pytest.raises(ValueError, match="examples depend on each other"):
        gt.frobreg(lambda x: last(x - x.mean(0, keepdim=True)), x)


def test_views_of_the_batch_are_told_from_views_of_an_example(x):
    """The same operations on as many axes: groups of features, then groups of examples."""
    last = nn.Linear(4, 3).double()
    assert gt.frobreg(lambda x: last(x.view(6, 2, 2).mean(1).repeat(1, 2)), x) > 0
    with pytest.raises(ValueError, match="examples depend on each other"):
        gt.frobreg(lambda x: last(x.view(2, 3, 4).mean(1).repeat(3, 1)), x)


def test_axes_that_are_exchanged_are_told_apart(x):
    """The same operations on tensors of one shape: features exchanged, then examples."""
    last, cube = nn.Linear(4, 3).double(), x[:4, :, None] * x[:4, None, :]

    def model(x, axes):
        return last(x.transpose(*axes)).flatten(1)

    assert gt.frobreg(lambda x: model(x, (1, 2)), cube) > 0
    with pytest.raises(ValueError, match="examples depend on each other"):
        gt.frobreg(lambda x: model(x, (0, 1)), cube)


def test_batches_of_other_sizes_make_no_new_trial(x, monkeypatch):
    """Sentences of every length would double the cost of every step."""
    made, right = [], gt._engine.trial.try_graph
    monkeypatch.setattr(
        gt._engine.trial, "try_graph", lambda *a: made.append(len(a[0].output)) or right(*a)
    )
    model = Around(torch.tanh)
    for n in (6, 5, 4, 3, 2, 6, 5):
        gt.frobreg(model, x[:n])
    assert made == [6, 5, 3]  # the passes 1, 2 and 4 of any size
    gt.frobreg(model, x[:1])  # one example shows no coupling: a trial of its own
    assert made == [6, 5, 3, 1]


@pytest.mark.parametrize("fault", ["no graph", "coupled"])
def test_a_last_layer_of_zeros_hides_nothing_for_long(fault, x):
    """At the first step J = 0 shows nothing; at the second the trial is made again."""
    model = Around(Cube.apply, beside=False) if fault == "no graph" else behind(BatchNormByHand)
    model(x)
    last = model.last if fault == "no graph" else model[1]
    nn.init.zeros_(last.weight)
    assert gt.frobreg(model, x, mode="reverse") == 0
    nn.init.ones_(last.weight)
    with pytest.raises(ValueError, match=r"Cube|examples depend on each other"):
        gt.frobreg(model, x, mode="reverse")


def with_batch_norm():
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double()


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_scripted_modules(x):
    """From its second run a scripted module is one node that hides batch norm."""
    plain, r = with_batch_norm(), torch.randn(6, 3, 1, dtype=torch.float64)
    scripted = torch.jit.script(plain)
    for _ in range(3):
        scripted(x)
    before = {name: b.clone() for name, b in plain.named_buffers()}
    for call in (
        partial(gt.frobreg, scripted, x),
        partial(gt.spectreg, scripted, x, probes=r, batchnorm="eval"),
        partial(gt.spectreg, scripted, x, probes=r, batchnorm="error"),
    ):
        with pytest.raises(ValueError, match=r"depend on each other|couples the examples"):
            call()
    value = gt.spectreg(scripted, x, probes=r)
    torch.testing.assert_close(value, gt.spectreg(plain, x, probes=r))
    gradient = gradients(value, scripted)
    assert all(torch.equal(b, before[name]) for name, b in plain.named_buffers())
    torch.testing.assert_close(gradient, gradients(gt.spectreg(plain, x, probes=r), plain))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_frozen_modules_are_measured(mode, x):
    """They have no mode any more, and no parameters: a bare AttributeError said so."""
    plain = with_batch_norm().eval()
    frozen = torch.jit.freeze(torch.jit.script(plain))
    for _ in range(3):
        frozen(x)
    value = gt.frobreg(frozen, x, mode=mode)
    torch.testing.assert_close(value, gt.frobreg(plain, x))
    with pytest.raises(ValueError, match=r"torch\.jit\.freeze, pass the module before freezing"):
        gt.check_model(frozen, x)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_differences_do_not_see_the_kinks_of_a_scripted_module(x):
    plain = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    scripted = torch.jit.script(plain)
    with pytest.raises(ValueError, match=r"operations in Python.*mode='reverse'"):
        gt.frobreg(scripted, x, mode="finite_difference")


class Caller:
    def __init__(self, model):
        self.holder = SimpleNamespace(model=model)

    def __call__(self, x):
        return self.holder.model(x)


HIDDEN = {
    "lambda": lambda model: lambda x: model(x),
    "partial": lambda model: partial(lambda model, x: model(x), model),
    "method": lambda model: model.forward,
    "object": lambda model: Caller(model),
    "list": lambda model: (lambda models: lambda x: models[0](x))([model]),
}


@pytest.mark.parametrize("form", HIDDEN)
@pytest.mark.parametrize("mode", ["reverse", "finite_difference"])
def test_a_callable_moves_statistics_like_its_module(form, mode, x):
    """A penalty by itself moves none; an objective moves them once."""
    r = torch.randn(6, 3, 1, dtype=torch.float64)
    model, expected = with_batch_norm(), with_batch_norm()
    hidden = HIDDEN[form](model)
    value = gt.spectreg(hidden, x, probes=r, mode=mode)
    assert all(torch.equal(*pair) for pair in zip(model.buffers(), expected.buffers(), strict=True))
    torch.testing.assert_close(value, gt.spectreg(expected, x, probes=r, mode=mode))
    y = torch.zeros(6, dtype=torch.int64)
    gt.objective(hidden, x, y, gt.SpectReg(mode=mode), probes=r)
    expected(x)
    assert all(torch.equal(*pair) for pair in zip(model.buffers(), expected.buffers(), strict=True))


def test_a_compiled_module_in_a_lambda(x):
    plain, r = Around(torch.tanh), torch.randn(6, 3, 1, dtype=torch.float64)
    compiled = torch.compile(plain, backend="aot_eager")
    expected = gradients(gt.spectreg(plain, x, probes=r), plain)
    value = gt.spectreg(lambda x: compiled(x), x, probes=r)
    torch.testing.assert_close(gradients(value, plain), expected)


@pytest.mark.parametrize("mode", ["finite_difference", "one_sided_difference"])
def test_differences_of_a_model_with_noise_of_its_own(mode, x):
    """Noise that is not replayed: the gradient was wrong by a factor of 133."""
    rng, model = np.random.default_rng(SEED), nn.Linear(4, 3).double()

    def noisy(x):
        return model(x + torch.from_numpy(rng.normal(scale=0.1, size=x.shape))).tanh()

    with pytest.raises(ValueError, match="draws random numbers"):
        gt.frobreg(noisy, x, mode=mode)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("mode", ["finite_difference", "one_sided_difference"])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 30.0])
def test_differences_of_right_models_are_no_false_alarm(mode, dtype, scale, x):
    torch.manual_seed(SEED)
    layers = nn.Linear(4, 40), nn.Tanh(), nn.Dropout(), nn.Linear(40, 40), nn.Softplus()
    model = nn.Sequential(*layers, nn.Linear(40, 3)).to(dtype)
    gt.frobreg(lambda x: scale * model(x), x.to(dtype), mode=mode).backward()


def test_inside_transforms_of_torch_func(x):
    """`grad` in the parameters, `vmap` over an ensemble: values and gradients of the plain form."""
    model, r = with_batch_norm().eval(), torch.randn(6, 3, 1, dtype=torch.float64)

    def penalty(parameters):
        run = partial(torch.func.functional_call, model, parameters)
        return gt.spectreg(run, x, probes=r)

    parameters = dict(model.named_parameters())
    found = torch.func.grad(penalty)(parameters)
    expected = gradients(gt.spectreg(model, x, probes=r), model)
    torch.testing.assert_close(torch.cat([g.flatten() for g in found.values()]), expected)
    several = {n: torch.stack([p, 2 * p, 3 * p]).detach() for n, p in parameters.items()}
    each = [penalty({n: p[i] for n, p in several.items()}) for i in range(3)]
    torch.testing.assert_close(torch.func.vmap(penalty)(several), torch.stack(each))


def contrast(z, y):
    """Which of the batch an example is: a loss of all outputs."""
    return F.cross_entropy(z @ z.mT, torch.arange(len(z)), reduction="none")


def beside_the_mean(z, y):
    return F.cross_entropy(z, y, reduction="none") - F.cross_entropy(z, y)


def of_pixels(z, y):
    return F.cross_entropy(z, y, reduction="none", label_smoothing=0.1, weight=torch.ones(3).to(z))


Y = torch.tensor([0, 1, 2, 0, 1, 2])


@pytest.mark.parametrize("loss", [contrast, beside_the_mean])
@pytest.mark.parametrize("mode", ["reverse", "finite_difference"])
def test_a_loss_of_the_whole_batch_is_refused(loss, mode, x):
    """DoubleBack was 0.0219 for 0.0178, and 0 for 0.0082."""
    model = Around(torch.tanh)
    for _ in range(2):
        with pytest.raises(ValueError, match="expected a loss of each example alone"):
            gt.doubleback(model, x, Y, loss=loss, mode=mode)
    with pytest.raises(ValueError, match="expected a loss of each example alone"):
        gt.objective(model, x, Y, gt.DoubleBack(loss=lambda z, y: loss(z, y)))
    assert gt.doubleback(model, x[:1], Y[:1], loss=loss) >= 0


def closed_over(loss):
    return lambda z, y: loss(z, y)


def test_a_loss_is_tried_once(x, monkeypatch):
    """Also a lambda that is written anew for each step; another closure is another loss."""
    model, made, right = Around(torch.tanh), [], _loss_trial.separating
    monkeypatch.setattr(_loss_trial, "separating", lambda n, d: made.append(n) or right(n, d))
    for _ in range(3):
        gt.doubleback(model, x, Y, loss=lambda z, y: of_pixels(z, y))
    assert made == [6]
    for _ in range(2):
        gt.doubleback(model, x, Y, loss=closed_over(of_pixels))
    assert made == [6, 6]
    with pytest.raises(ValueError, match="expected a loss of each example alone"):
        gt.doubleback(model, x, Y, loss=closed_over(contrast))


def test_a_single_example_says_nothing_of_others(x):
    """A loss that was tried at one example is tried again at several."""
    model = Around(torch.tanh)
    assert gt.doubleback(model, x[:1], Y[:1], loss=contrast) >= 0
    with pytest.raises(ValueError, match="expected a loss of each example alone"):
        gt.doubleback(model, x, Y, loss=contrast)


@dataclass
class Smoothed:
    """A loss that has no hash."""

    by: float

    def __call__(self, z, y):
        return F.cross_entropy(z, y, label_smoothing=self.by, reduction="none")


def test_losses_are_any_callable(x):
    model, losses = Around(torch.tanh), [Smoothed(0.1), Smoothed(0.2)]
    losses += [Smoothed(0.1).__call__, torch.nn.CrossEntropyLoss(reduction="none")]
    values = [gt.doubleback(model, x, Y, loss=loss) for loss in losses]
    assert values[0] == values[2]
    assert len({float(v.detach()) for v in values}) == 3


class Unrecorded(torch.autograd.Function):
    """Σ z² of each row, with a backward pass that records no graph."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z.square().sum(dim=1)

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx, gradient):
        return 2 * ctx.saved_tensors[0] * gradient[:, None]


class Detached(Unrecorded):
    """The same, and torch has nothing to complain about."""

    @staticmethod
    def backward(ctx, gradient):
        with torch.no_grad():
            return 2 * ctx.saved_tensors[0] * gradient[:, None]


ONCE = {
    "a kernel": lambda z, y: F.multi_margin_loss(z, y, reduction="none"),
    "once_differentiable": lambda z, y: Unrecorded.apply(z),
    "no_grad": lambda z, y: Detached.apply(z),
    # Within the resolution of float32, steps of float64 move nothing.
    "no_grad, in float32": lambda z, y: Detached.apply(8 + z.float()),
}


@pytest.mark.parametrize("name", ONCE)
def test_a_loss_without_a_second_derivative_is_refused(name, x):
    """R was a constant to the optimiser, or the user's backward() ended in torch's words."""
    with pytest.raises(ValueError, match="expected a loss that can be differentiated twice"):
        gt.doubleback(Around(torch.tanh), x, Y, loss=ONCE[name])


CONSTANT = {
    "linear": lambda z, y: z[:, 0] - 2 * z[:, 1],
    "of order 1": lambda z, y: z.abs().sum(dim=1),
    "with noise": lambda z, y: F.cross_entropy(z + torch.randn_like(z), y, reduction="none"),
}


@pytest.mark.parametrize("name", CONSTANT)
def test_a_loss_with_a_constant_derivative_is_right(name, x):
    before = torch.get_rng_state()
    made = []

    def loss(z, y):
        made.append(torch.get_rng_state())
        return CONSTANT[name](z, y)

    assert gt.doubleback(Around(torch.tanh), x, Y, loss=loss).requires_grad
    assert made[-1].equal(before)  # the trial has drawn nothing from the user's generator
