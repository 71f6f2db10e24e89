"""`torch.func` in x: gradients in the inputs were zero without a word."""

import gradreg_torch as gt
import pytest
import torch
from torch import nn

N, M = 6, 5
X = torch.randn(N, 8, generator=torch.Generator().manual_seed(1))
Y = torch.arange(N) % M
R = torch.randn(N, M, 1, generator=torch.Generator().manual_seed(2))


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, M))


OF_X = {
    "spectreg": lambda x: gt.spectreg(net(), x, probes=R),
    "forward mode": lambda x: gt.frobreg(net(), x, mode="forward"),
    "doubleback": lambda x: gt.doubleback(net(), x, Y),
    "objective": lambda x: sum(gt.objective(net(), x, Y, gt.FrobReg())[:2]),
    "a loss beside unlabelled inputs": lambda x: (
        gt.objective(net(), x, Y, gt.FrobReg(), unlabelled=X).loss
    ),
    "a module that is evaluated": lambda x: sum(gt.objective(net(), x, Y, gt.FrobReg().eval())[:2]),
}


def by_autograd(of_x):
    """Of an x with a graph, which a penalty keeps."""
    leaf = X.clone().requires_grad_()
    return torch.autograd.grad(of_x(leaf.clone()), leaf)[0]


@pytest.mark.parametrize("name", OF_X)
def test_gradient(name):
    found = torch.func.grad(OF_X[name])(X)
    assert found.any()
    torch.testing.assert_close(found, by_autograd(OF_X[name]))


@pytest.mark.parametrize("name", OF_X)
def test_directional_derivative(name):
    v = X.flip(0)
    _, found = torch.func.jvp(OF_X[name], (X,), (v,))
    torch.testing.assert_close(found, (by_autograd(OF_X[name]) * v).sum())
