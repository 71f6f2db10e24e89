"""Models that the tests of this folder share, and the gradient that they compare."""

import torch
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


class BatchNormByHand(nn.Module):
    def forward(self, x):
        return (x - x.mean(0)) / (x.var(0) + 1e-5).sqrt()


def behind(layer):
    torch.manual_seed(SEED)
    return nn.Sequential(layer(), nn.LazyLinear(3, dtype=torch.float64))


def with_batch_norm():
    torch.manual_seed(SEED)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Tanh(), nn.Linear(5, 3)).double()


def gradients(value, model):
    parameters = list(model.parameters())
    found = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in found])
