"""A model that writes into its buffers and computes with them: its state is a constant."""

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from torch import nn
from torch.nn.utils import parametrizations, spectral_norm

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.arange(6) % 3
R = torch.randn(6, 3, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
V = torch.randn(6, 4, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


class Teacher(nn.Module):
    """A layer, and another whose weights follow it."""

    def __init__(self):
        super().__init__()
        self.layer = nn.Linear(5, 5)
        self.register_buffer("slow", torch.randn(5, 5))

    def forward(self, h):
        if self.training:
            with torch.no_grad():
                self.slow.mul_(0.9).add_(0.1 * self.layer.weight)
        return self.layer(h).tanh() + F.linear(h, self.slow)


class Centre(nn.Module):
    """A running mean, in place, by which the same pass centres."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(5))

    def forward(self, h):
        if self.training:
            self.move(h)
        return (h - self.mean).tanh() * (h - self.mean)

    def move(self, h):
        self.mean.mul_(0.9).add_(0.1 * h.detach().mean(0))


class Replaced(Centre):
    """The same, with a new tensor in the place of the buffer."""

    def move(self, h):
        self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(0)


class Part(Centre):
    """The same, of some entries."""

    def move(self, h):
        with torch.no_grad():
            self.mean[1:3] = h[:, 1:3].mean(0)


def net(layer, first=None):
    torch.manual_seed(0)
    return nn.Sequential(first or nn.Linear(4, 5), layer(), nn.Linear(5, 3)).double()


STATES = {
    "spectral norm, old": lambda: net(nn.Tanh, spectral_norm(nn.Linear(4, 5))),
    "spectral norm": lambda: net(nn.Tanh, parametrizations.spectral_norm(nn.Linear(4, 5))),
    **{k.__name__: lambda k=k: net(k) for k in (Teacher, Centre, Replaced, Part)},
}


@pytest.mark.parametrize("mode", ["reverse", "finite_difference"])
@pytest.mark.parametrize("name", STATES)
def test_check_model_holds_the_state(name, mode):
    """It said that gradients were wrong, by 76 % for a new spectral norm, and advised a remedy that
    did not fit."""
    model = STATES[name]()
    penalty = gt.SpectReg(generator=torch.Generator().manual_seed(0), mode=mode)
    report = gt.check_model(model, X, Y, penalty)
    assert report["jacobian"].right
    assert report["gradient"].right
    assert report["unchanged"].right
    written = {"Teacher": "1.slow", "spectral norm, old": "0.weight_u", "spectral norm": "_u"}
    assert written.get(name, "1.mean") in report["buffers"].text


class Wrong(Centre):
    """A part of the way from h is cut, beside a state."""

    def forward(self, h):
        return super().forward(h) * h.detach().cos()


def test_check_model_holds_nothing_else():
    report = gt.check_model(net(Wrong), X, Y)
    assert report["jacobian"].right is False


class Graph(Centre):
    """The running mean is part of the graph."""

    def move(self, h):
        self.mean = (0.9 * self.mean.detach() + 0.1 * h.sum(1).mean() + 0 * h[0]).tanh()


def test_check_model_follows_a_buffer_with_a_graph():
    report = gt.check_model(net(Graph), X, Y)
    assert report["jacobian"].right
    assert report["gradient"].right


@pytest.mark.parametrize("name", ["batch norm", "nothing"])
def test_no_line_where_nothing_is_held(name):
    model = net(lambda: nn.BatchNorm1d(5) if name == "batch norm" else nn.Tanh())
    with pytest.raises(KeyError, match="'buffers'"):
        gt.check_model(model, X, Y)["buffers"]


def gradient(model, **options):
    found = torch.autograd.grad(
        gt.spectreg(model, X, probes=R, **options), list(model.parameters()), materialize_grads=True
    )
    return torch.cat([g.flatten() for g in found])


@pytest.mark.parametrize("mode", ["finite_difference", "one_sided_difference"])
@pytest.mark.parametrize("name", STATES)
def test_passes_of_differences_hold_the_state(name, mode):
    """The state moved with x: an error, or with a slow state a gradient that was off."""
    model = STATES[name]()
    expected, got = gradient(model, mode="reverse"), gradient(model, mode=mode)
    assert (got - expected).norm() < 1e-6 * expected.norm()


def step(model, path):
    """One step of a training loop."""
    if path == "plain":
        return model(X)
    if path == "compiled":
        torch.compiler.reset()

        @torch.compile(backend="eager", fullgraph=True)
        def compiled(x, y, probes):
            return gt.objective(model, x, y, gt.SpectReg(), probes=probes)

        return compiled(X, Y, R)
    probes = V if path == "forward" else R
    return gt.objective(model, X, Y, gt.SpectReg(mode=path), probes=probes)


@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")
@pytest.mark.parametrize("layer", [Centre, Replaced])
@pytest.mark.parametrize("path", ["reverse", "forward", "finite_difference", "compiled"])
def test_a_step_moves_the_state_once(layer, path):
    """A new tensor in the place of a buffer was lost in forward mode and in a compiled step."""
    one, other = net(layer), net(layer)
    for _ in range(2):
        step(one, "plain")
        step(other, path)
    torch.testing.assert_close(other[1].mean, one[1].mean)
    assert other[1].mean.any()
