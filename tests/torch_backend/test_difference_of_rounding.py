"""Finite differences where the Jacobian is so small that a difference of logits is their rounding.

The check of the value allows for rounding, and let gradients through that were 6 % off, and 100 %.
"""

import gradreg_torch as gt
import pytest
import torch
from torch import nn

N, M = 6, 5
MODES = ["finite_difference", "one_sided_difference"]


def deep(dtype=torch.float32):
    """Twenty layers, each of which makes a difference of inputs smaller; x and probes."""
    torch.manual_seed(0)
    layers = [layer for _ in range(20) for layer in (nn.Linear(8, 8), nn.Tanh())]
    model = nn.Sequential(*layers, nn.Linear(8, M)).to(dtype)
    g = torch.Generator().manual_seed(1)
    x, r = torch.randn(N, 8, generator=g), torch.randn(N, M, 1, generator=g)
    return model, x.to(dtype), r.to(dtype)


def gradient(mode, dtype):
    model, x, r = deep(dtype)
    value = gt.spectreg(model, x, probes=r, mode=mode)
    return torch.cat([g.flatten() for g in torch.autograd.grad(value, model[:-1].parameters())])


@pytest.mark.parametrize("mode", MODES)
def test_a_difference_that_is_rounding_is_refused(mode):
    with pytest.raises(ValueError, match=r"larger than their rounding.*compute in float64, or"):
        gradient(mode, torch.float32)


@pytest.mark.parametrize("mode", MODES)
def test_the_remedy(mode):
    expected = gradient("reverse", torch.float64)
    assert (gradient(mode, torch.float64) - expected).norm() < 1e-3 * expected.norm()


@pytest.mark.parametrize("mode", MODES)
def test_a_jacobian_of_zero_has_no_rounding(mode):
    model, x, r = deep()
    nn.init.zeros_(model[-1].weight)
    assert gt.spectreg(model, x, probes=r, mode=mode) == 0
