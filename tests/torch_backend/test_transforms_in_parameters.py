"""`torch.func` in the parameters: of one model, of several at once, and along a direction."""

import gradreg_torch as gt
import pytest
import torch
from torch import nn

N, M, DRAWN = 6, 5, torch.Generator().manual_seed(1)
X = torch.randn(N, 8, generator=DRAWN, dtype=torch.float64)
Y = torch.arange(N) % M
R = torch.randn(N, M, 1, generator=DRAWN, dtype=torch.float64)
# As a model that is trained: none of these parameters requires grad.
NET = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, M)).double()
MODELS = {
    name: torch.randn(3, *p.shape, generator=DRAWN, dtype=torch.float64)
    for name, p in NET.named_parameters()
}
ONE = {name: p[0] for name, p in MODELS.items()}
PENALTIES = {
    "spectreg": lambda f, x: gt.spectreg(f, x, probes=R),
    "doubleback": lambda f, x: gt.doubleback(f, x, Y),
    "frobreg": gt.frobreg,
    "frobreg, forward": lambda f, x: gt.frobreg(f, x, mode="forward"),
    "jacreg, projected": lambda f, x: gt.jacreg(f, x, probes=R),
    "contract": lambda f, x: gt.contract(f, x, R),
    "objective": lambda f, x: sum(gt.objective(f, x, Y, gt.FrobReg())[:2]),
}
each = pytest.mark.parametrize("penalty", PENALTIES.values(), ids=PENALTIES)


def at(penalty, parameters, x=X):
    """The penalty at these parameters."""

    class Penalised(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = NET

        def forward(self, x):
            return penalty(self.net, x)

    named = {f"net.{name}": p for name, p in parameters.items()}
    return torch.func.functional_call(Penalised(), named, (x,))


def trained(i=0):
    """The parameters of one of the models, as leaves that require grad."""
    return {name: p[i].clone().requires_grad_() for name, p in MODELS.items()}


def gradients(penalty):
    """∇_θ by autograd."""
    leaves = trained()
    found = torch.autograd.grad(at(penalty, leaves), list(leaves.values()), allow_unused=True)
    return [
        torch.zeros_like(p) if g is None else g for g, p in zip(found, ONE.values(), strict=True)
    ]


@each
def test_gradient(penalty):
    found = torch.func.grad(lambda p: at(penalty, p))(ONE)
    torch.testing.assert_close([*found.values()], gradients(penalty))


@each
def test_directional_derivative(penalty):
    v = {name: p[1] for name, p in MODELS.items()}
    _, found = torch.func.jvp(lambda p: at(penalty, p), (ONE,), (v,))
    pairs = zip(gradients(penalty), v.values(), strict=True)
    torch.testing.assert_close(found, sum((g * a).sum() for g, a in pairs))


@each
def test_several_models(penalty):
    found = torch.func.vmap(lambda p: at(penalty, p))(MODELS)
    expected = [at(penalty, trained(i)).detach() for i in range(3)]
    torch.testing.assert_close(found, torch.stack(expected))


@each
def test_several_batches(penalty):
    """With forward mode torch refused several columns inside `vmap`."""
    batches = torch.stack([X, X.flip(0) + 1])
    leaves = trained()
    found = torch.func.vmap(lambda x: at(penalty, leaves, x))(batches)
    torch.testing.assert_close(found, torch.stack([at(penalty, leaves, x) for x in batches]))


def test_several_R():
    several = torch.stack([R, R.flip(0), R.expand(N, M, 1)])
    found = torch.func.vmap(lambda r: gt.contract(NET, X, r))(several)
    torch.testing.assert_close(found, torch.stack([gt.contract(NET, X, r) for r in several]))
