"""A branch with a weight of zero shows nothing at the first step: a model is tried again later."""

import gradreg_torch as gt
import pytest
import torch
from torch import nn

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.arange(6) % 3


class Branch(nn.Module):
    """Identity, and beside it a branch whose weight is zero at first."""

    def __init__(self, branch):
        super().__init__()
        self.branch, self.weight = branch, nn.Parameter(torch.zeros(()))

    def forward(self, h):
        return h + self.weight * self.branch(h)


class NoGraph(torch.autograd.Function):
    @staticmethod
    def forward(ctx, h):
        ctx.save_for_backward(h)
        return h**3

    @staticmethod
    def backward(ctx, grad):
        with torch.no_grad():
            return 3 * ctx.saved_tensors[0] ** 2 * grad


def centred(h):
    return (h - h.mean(0)).tanh()


def train(branch, steps, **options):
    """Steps of training, and the weight after each."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), Branch(branch), nn.Tanh(), nn.Linear(5, 3)).double()
    optimizer = torch.optim.SGD(model.parameters(), 0.5)
    for step in range(steps):
        try:
            loss, penalty, _ = gt.objective(model, X, Y, gt.FrobReg(**options))
        except ValueError as error:
            return step, str(error)
        optimizer.zero_grad()
        (loss + 0.1 * penalty).backward()
        optimizer.step()
    return steps, ""


@pytest.mark.parametrize("mode", ["reverse", "forward", "finite_difference"])
def test_examples_that_depend_on_each_other_later(mode):
    """The penalty was 14 % off after three steps, without a word."""
    step, error = train(centred, 4, mode=mode)
    assert step == 1
    assert "examples depend on each other" in error


def test_a_second_derivative_that_is_missing_later():
    step, error = train(NoGraph.apply, 4, mode="reverse")
    assert step == 1
    assert "NoGraph" in error


@pytest.mark.filterwarnings("error")
def test_auto_takes_another_mode_then():
    with pytest.warns(UserWarning, match="takes finite differences: NoGraph"):
        assert train(NoGraph.apply, 4) == (4, "")


def test_a_model_that_is_right_trains_on():
    assert train(torch.sin, 9) == (9, "")


def constant(h):
    """h³, whose slope 3h² is a constant."""
    slope = (3 * h * h).detach()
    return slope * h + (h**3 - slope * h).detach()


class Rounded(nn.Module):
    def forward(self, h):
        return h + (torch.round(8 * h) / 8 - h).detach()


@pytest.mark.parametrize(
    ("branch", "line"),
    [(centred, "examples"), (constant, "gradient"), (Rounded(), "jacobian")],
)
def test_check_model_looks_behind_a_gate_of_zero(branch, line):
    """It found nothing at the parameters as they are."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 5), Branch(branch), nn.Tanh(), nn.Linear(5, 3))
    penalty = gt.SpectReg(generator=torch.Generator().manual_seed(0), mode="reverse")
    report = gt.check_model(model, X.float(), Y, penalty)
    assert not report[line].right
    assert model[1].weight == 0
