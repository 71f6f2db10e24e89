"""Finite differences hold a model's own decisions open: comparisons, masks, indices, roundings."""

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from torch import nn

X = torch.randn(16, 20, generator=torch.Generator().manual_seed(1))
R = torch.randn(16, 5, 1, generator=torch.Generator().manual_seed(2))


class Of(nn.Module):
    def __init__(self, f):
        super().__init__()
        self.f = f

    def forward(self, x):
        return self.f(x)


def net(f):
    """Wide and deep enough for a unit to switch within a step of float32."""
    torch.manual_seed(0)
    layers = [nn.Linear(20, 100)]
    for _ in range(4):
        layers += [Of(f), nn.Linear(100, 100)]
    return nn.Sequential(*layers, Of(f), nn.Linear(100, 5))


def set_where_negative(h):
    h = h.clone()
    h[h < 0] = 0.0
    return h


DECIDED = {
    "where": lambda h: torch.where(h > 0, h, h / 10),
    "a mask": lambda h: h * (h > 0),
    "a mask of floats": lambda h: h * torch.gt(h, 0).to(h.dtype) + h / 10,
    "a sign": lambda h: h * torch.sign(h),
    "a sign, detached": lambda h: h * h.detach().sign(),
    "masked_fill": lambda h: h.masked_fill(h < 0, 0.0),
    "entries set": set_where_negative,
    "the largest few": lambda h: h * (h >= h.topk(30, dim=1)[0][:, -1:]),
    "indices of topk": lambda h: h.gather(1, h.topk(100, dim=1).indices).tanh(),
    "sorted by indices": lambda h: h.gather(1, h.argsort(1)),
    "a rounding": lambda h: h.tanh() + torch.round(h) / 100,
    "a floor": lambda h: h - torch.floor(h),
    "a fraction": torch.frac,
    "buckets": lambda h: h * torch.bucketize(h.detach(), torch.tensor([0.0, 0.5])),
    "a size by keyword": lambda h: torch.abs(input=h),
    "positions, which are integers": lambda h: (
        h.tanh() * torch.abs(torch.arange(100) - 50).clamp(max=20) / 20
    ),
    "relu by a product": lambda h: (h * (h > 0)).tanh() + F.relu(-h),
}


def gradient(model, mode, x=X, r=R):
    value = gt.spectreg(model, x, probes=r, mode=mode)
    parameters = [*model.parameters()]
    found = torch.autograd.grad(value, parameters, allow_unused=True, materialize_grads=True)
    return torch.cat([g.flatten() for g in found])


@pytest.mark.parametrize("name", DECIDED)
@pytest.mark.parametrize("mode", ["finite_difference", "one_sided_difference"])
def test_gradients_do_not_jump(name, mode):
    """In float32 they were off by 5 to 900 times; a unit that switches is divided by the step."""
    model = net(DECIDED[name])
    expected = gradient(model, "reverse")
    limit = 1e-3 if mode == "finite_difference" else 1e-2  # about ∛ε and √ε times a curvature
    assert (gradient(model, mode) - expected).norm() < limit * expected.norm()


def test_where_reverse_mode_does_not_work_either():
    """A model without a double backward falls to differences, whose decisions are held too."""
    model = net(lambda h: torch.where(h > 0, h, h / 10))
    model.append(nn.Linear(5, 5)).append(nn.Hardsigmoid())
    with pytest.warns(UserWarning, match="finite differences: hardsigmoid"):
        got = gradient(model, "auto")
    single, double = (
        gradient(model, "finite_difference"),
        gradient(model.double(), "finite_difference", X.double(), R.double()),
    )
    assert torch.equal(got, single)
    assert (single - double).norm() < 1e-3 * double.norm()


def test_dropout_masks_stay_where_a_decision_draws():
    """The numbers that a held decision draws are drawn all the same."""

    def noisy(h):
        return F.dropout(h * torch.bernoulli(h.detach().sigmoid()).bool(), 0.5)

    model = net(noisy)
    torch.manual_seed(3)
    expected = gradient(model, "reverse")
    torch.manual_seed(3)
    assert (gradient(model, "finite_difference") - expected).norm() < 1e-3 * expected.norm()


def test_a_comparison_that_cannot_be_held_is_refused():
    model = net(torch.tanh)

    def mapped(x):
        return model(torch.func.vmap(lambda t: t * (t > 0))(x))

    with pytest.raises(ValueError, match=r"expected no comparison inside a transform.*'reverse'"):
        gt.spectreg(mapped, X, probes=R, mode="finite_difference")
    assert gt.spectreg(mapped, X, probes=R, mode="reverse") > 0

    def again(x):
        return torch.utils.checkpoint.checkpoint(
            lambda t: model(t * (t > 0)), x, use_reentrant=False
        )

    with pytest.raises(ValueError, match="in a checkpointed block"):
        gt.spectreg(again, X, probes=R, mode="finite_difference")


def test_a_smooth_model_is_not_run_once_more():
    """Nothing is recorded where nothing is decided; the first two steps are tried."""
    model, passes = net(torch.tanh), []
    model.register_forward_hook(lambda *_: passes.append(1))
    for _ in range(3):
        passes.clear()
        gt.spectreg(model, X, probes=R, mode="finite_difference")
    assert len(passes) == 3


@pytest.mark.parametrize("mode", ["finite_difference", "one_sided_difference"])
def test_the_size_of_a_complex_number_has_no_kink(mode):
    """|z| was held as if it were linear in z, which ended in torch's words, or off by 2."""
    model = net(torch.tanh).double()

    def spectrum(x):
        return torch.fft.rfft(model(x)).abs()

    x, r = X.double(), R.double()[:, :3]
    found = [
        torch.autograd.grad(gt.spectreg(spectrum, x, probes=r, mode=m), model[0].weight)[0]
        for m in ("reverse", mode)
    ]
    assert (found[1] - found[0]).norm() < 1e-5 * found[0].norm()


KINKED = {
    "a norm of order 1": lambda h: torch.linalg.vector_norm(h, ord=1, dim=1, keepdim=True),
    "a largest entry": lambda h: torch.linalg.vector_norm(h, ord=torch.inf, dim=1, keepdim=True),
    "a remainder": lambda h: torch.remainder(h, 0.5),
    "a renorm": lambda h: torch.renorm(h, 2, 0, 0.5),
}


@pytest.mark.parametrize("name", KINKED)
def test_kinks_that_are_not_held_are_refused(name):
    model = net(lambda h: h.tanh() + KINKED[name](h))
    with pytest.raises(ValueError, match="expected operations that finite differences can follow"):
        gt.spectreg(model, X, probes=R, mode="finite_difference")
    assert gradient(model, "reverse").any()
