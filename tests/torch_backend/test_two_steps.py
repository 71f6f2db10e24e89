"""A gradient by finite differences that changes with the step is refused in the steps tried."""

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from torch import nn

R = torch.randn(300, 3, 1, generator=torch.Generator().manual_seed(1))
X = torch.randn(300, 6, generator=torch.Generator().manual_seed(2))
GROUPS = torch.arange(32) // 4


class Net(nn.Module):
    """A layer, a function of its units and a trained vector, and another layer."""

    def __init__(self, function):
        super().__init__()
        torch.manual_seed(0)
        self.first, self.last = nn.Linear(6, 32), nn.Linear(32, 3)
        self.t, self.function = nn.Parameter(torch.randn(32) / 10), function

    def forward(self, x):
        return self.last(torch.tanh(self.function(self.first(x), self.t)))


def off(net, mode, x=X, r=R):
    """How far the gradient is from that of reverse mode."""
    values = (gt.spectreg(net, x, probes=r, mode=m) for m in ("reverse", mode))
    expected, found = (
        torch.cat(
            [
                g.flatten().double()
                for g in torch.autograd.grad(
                    v, [*net.parameters()], allow_unused=True, materialize_grads=True
                )
            ]
        )
        for v in values
    )
    return float((found - expected).norm() / expected.norm())


def largest(h, t):
    groups = torch.zeros(len(h), 8).scatter_reduce(
        1, GROUPS.expand(len(h), 32), h, "amax", include_self=False
    )
    return 5 * t * groups[:, GROUPS]


# In a name, how far the gradient was off, in silence.
UNSEEN = {
    "fmax, 65 %": torch.fmax,
    "copysign, 50 %": lambda h, t: torch.copysign(h, t) * t,
    "the largest of four, 4 %": largest,
    "a square root of a square, 87 %": lambda h, t: 5 * t * (h * h).sqrt(),
    "a norm of one number, 87 %": lambda h, t: 5 * t * h[..., None].norm(dim=-1),
    "a distance of numbers, 87 %": lambda h, t: (
        5 * t * F.pairwise_distance(h[..., None], torch.zeros_like(h)[..., None], eps=0.0)
    ),
    "an angle, 44 %": lambda h, t: torch.angle(h) * h * t,
    "softplus of a low threshold, 22 %": lambda h, t: 5 * t * F.softplus(h, 50.0, 0.01),
}


@pytest.mark.parametrize("name", UNSEEN)
def test_a_derivative_that_jumps_unseen_is_refused(name):
    refused = r"expected the same (gradient for a step of twice the length|function in every pass)"
    with pytest.raises(ValueError, match=refused) as caught:
        off(Net(UNSEEN[name]), "finite_difference")
    assert "pass mode='reverse'" in str(caught.value)


def units(x):
    torch.manual_seed(1)
    net = nn.Sequential(
        nn.Linear(20, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 3)
    )
    with torch.no_grad():
        net[0].bias -= net[0].weight @ x.mean(0)
    return net


def test_a_model_that_bends_gets_a_shorter_step():
    """The step grows with the size of x: at x of about 100 gradients were off by 22 % and more."""
    x = torch.randn(32, 20, generator=torch.Generator().manual_seed(3)) + 100
    net = units(x)
    for _ in range(3):  # the third is not tried, and takes the step of the second
        assert off(net, "finite_difference", x, R[:32]) < 0.03


def test_without_a_step_that_is_right_the_remedies_work():
    x = torch.randn(32, 20, generator=torch.Generator().manual_seed(3)) * 1e-2 + 1e4
    net = units(x)
    with pytest.raises(ValueError, match="expected the same function in every pass") as said:
        off(net, "finite_difference", x, R[:32])
    assert "pass mode='reverse'" in str(said.value)
    x = (x - x.mean()) / x.std()
    assert off(units(x), "finite_difference", x, R[:32]) < 1e-3


def test_where_reverse_mode_cannot_work_either_what_to_replace_is_named():
    """`auto` and reverse mode sent the user from one to the other."""
    net = Net(lambda h, t: torch.fmax(h * F.hardsigmoid(h), t))
    said = r"twice the length.*; for hardsigmoid use elementary operations in its place, and then"
    with pytest.raises(ValueError, match=said):
        gt.spectreg(net, X, probes=R, mode="finite_difference")
    net.function = lambda h, t: torch.fmax(h * torch.clamp(h / 6 + 0.5, 0, 1), t)  # the remedy
    gt.spectreg(net, X, probes=R, mode="reverse").backward()


@pytest.mark.parametrize("mode", ["finite_difference", "one_sided_difference"])
@pytest.mark.parametrize(
    "function",
    [
        lambda h, t: torch.clamp(h, min=t),
        lambda h, t: h.clamp(t, t + 0.5),
        lambda h, t: t * torch.clip(h, max=0.1),
        lambda h, t: t * h.clamp_min(0.1),
        lambda h, t: torch.clamp_max(h, t.mean()),
        lambda h, t: 9 * t * F.normalize(h),
    ],
)
def test_clamps_are_held_with_their_bounds(function, mode):
    """The gradient of a trained bound was lost: 20 % off, and one-sided by ten million."""
    assert off(Net(function), mode) < 1e-3


def test_a_gradient_that_is_rounding_alone_is_not_refused():
    """Of a bias whose factor is 1 but for rounding, the gradient is 0 but for rounding."""
    net = nn.Linear(6, 3)
    net.weight.requires_grad_(False)

    def one(x):
        return torch.exp(x.sum(1, keepdim=True)) * torch.exp(-x.sum(1, keepdim=True))

    value = gt.spectreg(lambda x: net(x) * one(x), X, probes=R, mode="finite_difference")
    value.backward()
    assert 0 < net.bias.grad.norm() < 1e-3 * value


def test_it_looks_again_in_steps_2_4_and_8():
    """A part that begins with a weight of zero."""
    net = Net(lambda h, t: h + gate * torch.fmax(h, t))
    gate = 0.0
    gt.spectreg(net, X, probes=R, mode="finite_difference")
    gate = 1.0
    with pytest.raises(ValueError, match="twice the length"):
        gt.spectreg(net, X, probes=R, mode="finite_difference")
