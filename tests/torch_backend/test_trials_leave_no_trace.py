"""The extra passes of a trial leave plain attributes as they were: a state moves once a step."""

import gradreg_torch as gt
import pytest
import torch
from torch import nn

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
T = torch.randn(6, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


class Sin(torch.autograd.Function):
    @staticmethod
    def forward(ctx, t):
        ctx.save_for_backward(t)
        return t.sin()

    @staticmethod
    def backward(ctx, grad):
        return grad * ctx.saved_tensors[0].cos()


class Recurrent(nn.Module):
    """A state and a log that are no buffers."""

    def __init__(self, f=torch.sin):
        super().__init__()
        torch.manual_seed(0)
        self.cell, self.last, self.f = nn.GRUCell(4, 5), nn.Linear(5, 3), f
        self.state, self.calls, self.log = None, 0, []
        self.double()

    def forward(self, x, scale=1):
        state = torch.zeros(len(x), 5, dtype=x.dtype) if self.state is None else self.state
        h = self.cell(x, state)
        self.state, self.calls = h.detach(), self.calls + 1
        self.log.append(self.calls)
        return self.f(self.last(h)) * scale


def hooked():
    model = Recurrent()
    model.cell.register_full_backward_hook(lambda *_: None)
    return model


def values(model, **options):
    found = []
    for calls in range(1, 6):
        found.append(float(gt.frobreg(model, X, **options).detach()))
        assert model.calls == len(model.log) == calls
        assert type(model.state) is torch.Tensor
    return found


EXPECTED = values(Recurrent(), mode="reverse")


@pytest.mark.parametrize(
    ("made", "options"),
    [
        (Recurrent, {"mode": "forward"}),
        (hooked, {}),
        (lambda: Recurrent(Sin.apply), {"mode": "reverse"}),
    ],
    ids=["forward mode", "hooks", "functions"],
)
def test_the_values_of_a_model_with_a_state(made, options):
    """In forward mode five steps moved the state 23 times."""
    assert values(made(), **options) == pytest.approx(EXPECTED, rel=1e-9)


def test_the_trial_of_a_table():
    class Independent(Recurrent):
        def forward(self, x, t):
            self.calls += 1
            return self.last(self.cell(x)) * t

    model = Independent()
    penalty = gt.FrobReg(fraction=0.5, generator=torch.Generator().manual_seed(0), wrt=0)
    penalty(model, (X, T))
    assert model.calls == 1
