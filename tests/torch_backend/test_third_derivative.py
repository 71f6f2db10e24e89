"""A penalty's gradient that is differentiated again (meta-learning): right, or refused."""

import gradreg_torch as gt
import pytest
import torch
from torch import nn

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 0, 1, 2])
R = torch.randn(6, 3, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
V = torch.randn(6, 4, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


class LayerNorm(nn.Module):
    """Layer norm by elementary operations."""

    def forward(self, h):
        return (h - h.mean(1, keepdim=True)) / (
            h.var(1, keepdim=True, unbiased=False) + 1e-5
        ).sqrt()


NORMS = {
    "layer norm": lambda: nn.LayerNorm(5),
    "batch norm": lambda: nn.BatchNorm1d(5),
    "instance norm": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 5)), nn.InstanceNorm1d(1, affine=True), nn.Flatten()
    ),
}
RIGHT = {
    "none": nn.Identity,
    "group norm": lambda: nn.GroupNorm(1, 5),
    "batch norm in evaluation mode": lambda: nn.BatchNorm1d(5).eval(),
    "by hand": LayerNorm,
}


def net(norm):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), norm(), nn.Tanh(), nn.Linear(5, 3)).double()


def direction(model):
    return [torch.arange(p.numel()).cos().to(p).reshape(p.shape) for p in model.parameters()]


def gradient(value, model, **options):
    return torch.autograd.grad(
        value, list(model.parameters()), allow_unused=True, materialize_grads=True, **options
    )


def flat(gradients):
    return torch.cat([g.flatten() for g in gradients])


def again(penalty, model):
    """The gradient of the penalty's gradient along a direction."""
    first = gradient(penalty(), model, create_graph=True)
    along = sum((g * d).sum() for g, d in zip(first, direction(model), strict=True))
    return flat(gradient(along, model))


def by_differences(penalty, model, h=1e-5):
    """The same, of gradients at θ ± hδ."""
    found = []
    for step in (h, -2 * h):
        with torch.no_grad():
            for p, d in zip(model.parameters(), direction(model), strict=True):
                p.add_(step * d)
        found.append(flat(gradient(penalty(), model)))
    with torch.no_grad():
        for p, d in zip(model.parameters(), direction(model), strict=True):
            p.add_(h * d)
    return (found[0] - found[1]) / (2 * h)


def penalties(model, mode):
    """The penalties of a mode."""
    found = [lambda: gt.spectreg(model, X, probes=V if mode == "forward" else R, mode=mode)]
    if mode != "forward":
        found.append(lambda: gt.doubleback(model, X, Y, mode=mode))
    return found


@pytest.mark.parametrize(
    ("mode", "name"),
    [("reverse", n) for n in RIGHT] + [("forward", n) for n in (RIGHT | NORMS)],
)
def test_right(mode, name):
    """Forward mode, the remedy, runs norms as elementary operations."""
    model = net((RIGHT | NORMS)[name])
    for penalty in penalties(model, mode):
        expected = by_differences(penalty, model)
        assert (again(penalty, model) - expected).norm() < 1e-6 * expected.norm()


@pytest.mark.parametrize(
    ("mode", "name"),
    [("reverse", n) for n in NORMS] + [("finite_difference", n) for n in (RIGHT | NORMS)],
)
def test_refused(mode, name):
    """It was off by 20 to 140 %, without a word."""
    model = net((RIGHT | NORMS)[name])
    for penalty in penalties(model, mode):
        assert flat(gradient(penalty(), model)).any()  # once is right
        with pytest.raises(ValueError, match=r"to be the last derivative.*mode='forward'"):
            again(penalty, model)


def test_refused_of_logits_too():
    model, x = net(NORMS["layer norm"]), X.clone().requires_grad_()
    logits = model(x)
    with pytest.raises(ValueError, match="to be the last derivative"):
        again(lambda: gt.spectreg(logits, x, probes=R), model)
