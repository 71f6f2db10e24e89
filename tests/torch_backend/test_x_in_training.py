"""What training does to x: nothing, unless x is a parameter, which is trained."""

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from torch import nn

G = torch.Generator().manual_seed(0)
X = torch.randn(6, 4, dtype=torch.float64, generator=G)
R = torch.randn(6, 3, 1, dtype=torch.float64, generator=G)
Y = torch.arange(6) % 3


class Doubled(nn.Module):
    """Works in place: at another x the penalty has another value."""

    def forward(self, x):
        return x.mul_(2)


def net(*first):
    torch.manual_seed(0)
    return nn.Sequential(*first, nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def without_penalty(model, x):
    penalty = gt.SpectReg(every=2)
    penalty.due({})
    return gt.objective(model, x, Y, penalty, probes=R)


def not_training(model, x):
    return gt.objective(model, x, Y, gt.SpectReg().eval(), probes=R)


def unlabelled(model, x):
    return gt.objective(model, x, Y, gt.SpectReg(), probes=R, unlabelled=x)


def plain(model, x):
    return gt.objective(model, x, Y, gt.SpectReg(), probes=R)


FORMS = [plain, without_penalty, not_training, unlabelled]


@pytest.mark.parametrize("form", FORMS)
def test_a_model_that_works_in_place_leaves_x(form):
    x = X.clone()
    got, expected = form(net(Doubled()), x), form(lambda x: net()(2 * x), X.clone())
    torch.testing.assert_close(tuple(got), tuple(expected))
    assert torch.equal(x, X)


@pytest.mark.parametrize("form", FORMS)
def test_a_leaf_gets_no_gradient(form):
    x = X.clone().requires_grad_()
    step = form(net(), x)
    (step.loss + step.penalty).backward()
    assert x.grad is None


@pytest.mark.parametrize("frozen", [False, True])
@pytest.mark.parametrize("mode", ["reverse", "finite_difference"])
def test_a_parameter_is_trained(mode, frozen):
    """Its gradient is that of x + d in d, where x is computed."""
    model, x, d = net(), nn.Parameter(X.clone()), torch.zeros_like(X, requires_grad=True)
    model.requires_grad_(not frozen)

    def total(x):
        step = gt.objective(model, x, Y, gt.SpectReg(mode=mode), probes=R)
        return step.loss + step.penalty

    total(x).backward()
    total(X + d).backward()
    torch.testing.assert_close(x.grad, d.grad)
    h, loss = 1e-6, lambda x: float((F.cross_entropy(model(x), Y) + by_hand(model, x)).detach())
    for at in (0, 7, 23):
        step = torch.zeros(24, dtype=torch.float64).index_fill(0, torch.tensor(at), h).reshape(6, 4)
        expected = (loss(X + step) - loss(X - step)) / (2 * h)
        assert abs(float(x.grad.view(-1)[at]) - expected) < 1e-7


def by_hand(model, x):
    x = x.detach().requires_grad_()
    (v,) = torch.autograd.grad((model(x) * R[..., 0]).sum(), x)
    return v.square().sum() / len(x)


def test_a_frozen_model_trains_nothing_and_the_message_names_x():
    model = net().requires_grad_(False)
    with pytest.raises(ValueError, match=r"x as torch\.nn\.Parameter"):
        gt.spectreg(model, X.clone().requires_grad_(), probes=R)


@pytest.mark.parametrize("mode", ["auto", "reverse", "finite_difference"])
def test_a_selective_checkpoint_goes_back_once(mode):
    from torch.utils import checkpoint as c

    policy = lambda *_, **__: c.CheckpointPolicy.MUST_SAVE  # noqa: E731
    once = {"context_fn": lambda: c.create_selective_checkpoint_contexts(policy)}
    model = net()
    run = lambda x, **options: c.checkpoint(model, x, use_reentrant=False, **options)  # noqa: E731
    with pytest.raises(ValueError, match=r"^expected a model whose graph.*leave out context_fn"):
        gt.spectreg(lambda x: run(x, **once), X, probes=R, mode=mode)
    value = gt.spectreg(run, X, probes=R, mode=mode)  # the remedy
    torch.testing.assert_close(value, gt.spectreg(model, X, probes=R))
