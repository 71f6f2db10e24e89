"""Contract: an R of the user's own is every other penalty."""

import gradreg_torch as gt
import numpy as np
import pytest
import torch
from claims import holds
from torch import nn

import gradreg_ref as ref
from gradreg_ref.losses import cross_entropy_gradient

test_claims = holds("contract-formula")

RNG = np.random.default_rng(0)
J, Z, Y = RNG.normal(size=(4, 3, 5)), RNG.normal(size=(4, 3)), np.array([0, 1, 2, 1])
X = torch.randn(4, 5, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def model():
    torch.manual_seed(1)
    return nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Linear(6, 3)).double()


def test_its_special_cases():
    eye = np.broadcast_to(np.eye(3), (4, 3, 3))
    assert ref.contract(J, eye) == ref.frobreg(J)
    probes = RNG.normal(size=(4, 3, 1))
    assert ref.contract(J, probes) == ref.spectreg(J, probes=probes)

    def residual(z, y):
        return cross_entropy_gradient(z, y)[:, :, None]

    assert ref.contract(J, residual, Y, logits=Z) == ref.doubleback(J, Z, Y)


def softmax_error(z, y):
    return (z.softmax(1) - nn.functional.one_hot(y, z.shape[1]))[:, :, None]


@pytest.mark.parametrize("mode", ["reverse", "finite_difference"])
def test_a_function_of_logits_and_labels_takes_part_in_the_gradient(mode):
    net, y = model(), torch.tensor(Y)
    ours = gt.contract(net, X, softmax_error, y, mode=mode)
    doubleback = gt.doubleback(net, X, y, mode=mode)
    torch.testing.assert_close(ours, doubleback, rtol=1e-13, atol=0)
    for a, b in zip(
        torch.autograd.grad(ours, list(net.parameters()), allow_unused=True),
        torch.autograd.grad(doubleback, list(net.parameters()), allow_unused=True),
        strict=True,
    ):
        assert (a is None) == (b is None)
        if a is not None:
            torch.testing.assert_close(a, b, rtol=1e-9, atol=1e-12)


def test_the_twin_in_the_objective():
    net, y = model(), torch.tensor(Y)
    step = gt.objective(net, X, y, gt.Contract(R=softmax_error))
    torch.testing.assert_close(step.penalty, gt.doubleback(net, X, y))


REFUSED = {
    "a column too few": (
        lambda: gt.contract(model(), X, torch.ones(4, 2, 1).double()),
        r"expected R with shape \(4, 3, q\), got \(4, 2, 1\)",
    ),
    "no axis of columns": (
        lambda: gt.contract(model(), X, torch.ones(4, 3).double()),
        r"for one column per example pass R\[:, :, None\]",
    ),
    "integers": (lambda: gt.contract(model(), X, torch.ones(4, 3, 1).int()), "floating dtype"),
    "no tensor": (lambda: gt.contract(model(), X, 3.0), "expected R to be a tensor, got float"),
    "forward mode": (
        lambda: gt.contract(model(), X, torch.ones(4, 3, 1).double(), mode="forward"),
        "expected mode='reverse' or 'finite_difference'",
    ),
    "one R of all examples through batch norm": (
        lambda: gt.contract(
            nn.Sequential(nn.Linear(5, 3), nn.BatchNorm1d(3)).double(),
            X,
            torch.ones(1, 3, 1).double().expand(4, 3, 1),
        ),
        "expected examples that do not depend on each other",
    ),
    "the reference, no logits": (lambda: ref.contract(J, lambda z, y: z), "expected logits= with"),
    "the reference, another shape": (
        lambda: ref.contract(J, np.ones((4, 2, 1))),
        r"and R with shape \(n, k, q\), got",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    attempt, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        attempt()
