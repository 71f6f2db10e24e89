"""`check_model`: models that are right stay green, faults that are planted turn it red."""

import copy

import gradreg_torch as gt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

N = 6
Y = torch.tensor([0, 1, 2, 0, 1, 2])


def g():
    return torch.Generator().manual_seed(0)


class Intermediate(torch.autograd.Function):
    """t³, which saves 3t² as if it were a constant: the value of a penalty is right."""

    @staticmethod
    def forward(ctx, t):
        ctx.save_for_backward(3 * t * t)
        return t**3

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0]


class FixedPoint(nn.Module):
    """h = tanh(W h + x), with its implicit gradient in a hook that sees constants."""

    def __init__(self):
        super().__init__()
        self.W = nn.Parameter(0.1 * torch.randn(4, 4))

    def forward(self, x):
        with torch.no_grad():
            h = torch.zeros_like(x)
            for _ in range(100):
                h = torch.tanh(h @ self.W.T + x)
        h = torch.tanh(h @ self.W.T + x)
        d = (1 - h.detach() ** 2)[:, :, None] * self.W.detach()
        inverse = torch.linalg.inv(torch.eye(4, dtype=x.dtype) - d)
        if h.requires_grad:
            h.register_hook(lambda grad: torch.einsum("nij,ni->nj", inverse, grad))
        return h


class Residual(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)
        self.norms = nn.BatchNorm2d(3), nn.BatchNorm2d(3)
        self.a, self.b = self.norms
        self.body, self.last = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 3)

    def forward(self, x):
        h = F.relu(self.a(self.conv(x)))
        h = F.relu(h + self.b(self.body(h)))
        return self.last(h.mean((2, 3)))


class Transformer(nn.Module):
    def __init__(self):
        super().__init__()
        self.layer = nn.TransformerEncoderLayer(4, 2, 8, dropout=0.1, batch_first=True)
        self.last = nn.Linear(4, 3)

    def forward(self, x):
        return self.last(self.layer(x).mean(1))


def lenet():
    return nn.Sequential(
        *(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 3))
    )


def mlp(middle):
    return nn.Sequential(nn.Linear(4, 5), middle, nn.Linear(5, 3))


class Of(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


def made(build, *shape):
    torch.manual_seed(0)
    return build(), torch.randn(N, *shape)


RIGHT = {
    "LeNet": lambda: made(lenet, 1, 6, 6),
    "residual net with batch norm": lambda: made(Residual, 1, 6, 6),
    "transformer": lambda: made(Transformer, 5, 4),
    "dropout": lambda: made(lambda: mlp(nn.Dropout()), 4),
    "cosine": lambda: made(lambda: mlp(Of(torch.cos)), 4),
    "a recurrent layer": lambda: made(
        lambda: nn.Sequential(nn.GRU(4, 5, batch_first=True), Of(lambda h: h[0][:, -1, :3])), 7, 4
    ),
}


@pytest.mark.parametrize("name", RIGHT)
@pytest.mark.parametrize("penalty", ["spectreg", "doubleback"])
def test_right_models(name, penalty):
    model, x = RIGHT[name]()
    one = gt.SpectReg(generator=g()) if penalty == "spectreg" else gt.DoubleBack()
    report = gt.check_model(model, x, Y, one)
    assert report.ok, report
    assert report["gradient"].right is True, report
    assert report["unchanged"].right is True, report


@pytest.mark.parametrize("hidden", [False, True])
def test_a_second_derivative_that_is_wrong(hidden):
    """The value is right, the gradient off by 71 %; the layers before it are named."""
    model, x = made(lambda: mlp(Of(Intermediate.apply)), 4)
    report = gt.check_model((lambda x: model(x)) if hidden else model, x, Y)
    assert not report.ok
    assert report["gradient"].right is False
    assert "0.weight" in report["gradient"].text
    assert "2.weight" not in report["gradient"].text
    assert "mode='finite_difference'" in report["gradient"].remedy
    by_differences = gt.SpectReg(generator=g(), mode="finite_difference")
    assert gt.check_model(model, x, Y, by_differences).ok  # the remedy works


def test_an_implicit_gradient_in_a_hook():
    model, x = made(lambda: nn.Sequential(FixedPoint(), nn.Linear(4, 3)), 4)
    report = gt.check_model(model, x, Y)
    assert report["gradient"].right is False
    assert "0.W" in report["gradient"].text


def test_noise_that_no_seed_replays():
    rng = np.random.default_rng(0)
    model, x = made(lambda: mlp(nn.Tanh()), 4)

    def noisy(x):
        return model(x + torch.from_numpy(rng.normal(size=x.shape)).to(x))

    report = gt.check_model(noisy, x, Y)
    assert report["repeatable"].right is False


def test_a_jacobian_that_is_zero():
    model, x = made(lambda: mlp(nn.Tanh()), 4)
    report = gt.check_model(lambda x: model(0 * x), x, Y)
    assert report["penalty"].right is False


def test_a_refusal_is_in_the_report():
    model, x = made(lambda: nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)), 4)
    report = gt.check_model(model, x, Y, gt.FrobReg())
    assert report["penalty"].right is False
    assert "batchnorm='eval'" in report["penalty"].text
    assert gt.check_model(model, x, Y, gt.FrobReg(batchnorm="eval")).ok


def test_examples_that_see_each_other():
    model, x = RIGHT["residual net with batch norm"]()
    assert gt.check_model(model, x)["examples"].right is None
    assert gt.check_model(model.eval(), x)["examples"].right is True


def test_a_model_that_changes_itself():
    """A parameter written in the forward pass."""
    model, x = made(lambda: mlp(nn.Tanh()), 4)

    def drifting(x):
        with torch.no_grad():
            model[0].bias.add_(0.1)
        return model(x)

    report = gt.check_model(drifting, x, Y)
    assert report["unchanged"].right is False
    assert "parameters" in report["unchanged"].text


@pytest.mark.parametrize("name", ["residual net with batch norm", "dropout"])
def test_nothing_changes(name):
    model, x = RIGHT[name]()
    F.cross_entropy(model(x), Y).backward()
    before, random, generator = copy.deepcopy(model), torch.get_rng_state(), g()
    gradients = [p.grad.clone() for p in model.parameters()]
    gt.check_model(model, x, Y, gt.SpectReg(generator=generator))
    for a, b in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.dtype == torch.float32
    for a, grad in zip(model.parameters(), gradients, strict=True):
        assert torch.equal(a.grad, grad)
    for a, b in zip(model.buffers(), before.buffers(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(generator.get_state(), g().get_state())


def test_the_step_of_a_penalty_does_not_move():
    model, x = made(lambda: mlp(nn.Tanh()), 4)
    penalty = gt.SpectReg(generator=g(), every=3)
    gt.check_model(model, x, Y, penalty)
    assert penalty.step == 0


def test_under_no_grad_too():
    model, x = made(lambda: mlp(nn.Tanh()), 4)
    with torch.no_grad():
        report = gt.check_model(model, x, Y)
    assert report["gradient"].right is True


def test_two_modules_with_the_same_names():
    """Both have a "weight": each is checked."""
    torch.manual_seed(0)
    first, last = nn.Linear(4, 5), nn.Linear(5, 3)
    x = torch.randn(N, 4)
    report = gt.check_model(lambda x: last(torch.tanh(first(x))), x, Y)
    assert report["parameters"].text.startswith("the penalty trains 3 of 4")
    wrong = gt.check_model(lambda x: last(Intermediate.apply(first(x))), x, Y)
    assert wrong["gradient"].right is False


def test_a_model_that_cannot_run_in_float64_is_not_decided():
    model, x = made(lambda: mlp(nn.Tanh()), 4)
    report = gt.check_model(lambda x: model(x.float()), x, Y)
    assert report["gradient"].right is None
    assert report.ok


def test_the_table_fits_a_terminal():
    model, x = RIGHT["residual net with batch norm"]()
    lines = str(gt.check_model(model, x, Y)).splitlines()
    assert max(map(len, lines)) <= 82
    assert lines[0] == "SpectReg on Residual, x (6, 1, 6, 6) float32 on cpu"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: gt.check_model(m, x, penalty=gt.DoubleBack()), "expected labels y"),
        (lambda m, x: gt.check_model(m, x, Y, gt.FrobReg), "expected a penalty such as"),
        (lambda m, x: gt.check_model(lambda x: 2 * x, x), "parameters to train, got none"),
        (lambda m, x: gt.check_model(m, x, Y)["grad"], "expected one of penalty, repeatable"),
    ],
)
def test_refusals(call, message):
    model, x = made(lambda: mlp(nn.Tanh()), 4)
    with pytest.raises((TypeError, ValueError, KeyError), match=message):
        call(model, x)
