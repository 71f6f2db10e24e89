"""The paper's networks: shapes, initialisation, what is random."""

import pytest
import torch
from gradreg_experiments.networks import Architecture, build
from gradreg_experiments.networks.layers import GivenDropout, Shortcut

LENET = Architecture((1, 28, 28), 10, 5)
RESIDUAL = Architecture((3, 32, 32), 10, 5, batch_norm=True, width=1)


def made(name, architecture, seed=0):
    return build(name, architecture, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("name", "architecture", "parameters"),
    [
        # Σ (filters · fan-in + biases): 6·25+6, 16·150+16, 120·400+120, 84·120+84, 10·84+10
        ("lenet", LENET, 156 + 2416 + 48_120 + 10_164 + 850),
        # Filters 9·c·o, two numbers a channel of batch norm, 64·10+10
        (
            "residual",
            RESIDUAL,
            9 * (3 * 16 + 6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64)
            + 2 * (16 + 6 * 16 + 6 * 32 + 6 * 64)
            + 650,
        ),
    ],
)
def test_parameters_and_logits(name, architecture, parameters):
    network = made(name, architecture)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network(torch.zeros(5, *architecture.shape)).shape == (5, 10)


def test_large_images_are_halved():
    network = made("residual", Architecture((3, 64, 64), 200, 2, batch_norm=True, width=1))
    assert network[:4](torch.zeros(2, 3, 64, 64)).shape == (2, 16, 32, 32)


def test_initialisation_is_hes_and_of_the_generator_alone():
    state = torch.get_rng_state()
    first, again, other = made("lenet", LENET), made("lenet", LENET), made("lenet", LENET, 1)
    assert torch.get_rng_state().equal(state)
    third = [network[6].weight for network in (first, again, other)]
    assert third[0].equal(third[1])
    assert not third[0].equal(third[2])
    # 48,000 draws of variance 2 / 400: their sample variance is within 5 of its deviations.
    assert third[0].var().item() == pytest.approx(2 / 400, rel=5 * (2 / 48_000) ** 0.5)
    assert not first[6].bias.any()


def test_the_shortcut_pools_and_adds_channels_of_zeros():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    y = Shortcut(extra=2, stride=2)(x)
    assert y.tolist() == [[[[2.5, 4.5], [10.5, 12.5]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]]]


def test_dropout_is_the_mask_it_is_given():
    dropout = GivenDropout(2, 3)
    dropout.mask.copy_(torch.tensor([[1.0, 0, 1], [0, 1, 1]]))
    assert dropout(torch.ones(2, 3)).tolist() == [[2, 0, 2], [0, 2, 2]]
    assert dropout.eval()(torch.ones(2, 3)).tolist() == [[1, 1, 1], [1, 1, 1]]
