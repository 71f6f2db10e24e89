"""The paper's networks: shapes, initialisation, what is random."""

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from gradreg_experiments.networks import GivenDropout, build, shortcut
from gradreg_experiments.runs import Run

LENET = Run(data="mnist", train=50, network="lenet", seed=0)
RESIDUAL = replace(LENET, network="residual", batch_norm=True, width=1)
SHAPES = {"lenet": (1, 28, 28), "residual": (3, 32, 32)}


def made(run, seed=0, shape=None, classes=10):
    images = np.zeros((1, *(shape or SHAPES[run.network])), np.float32)
    parts = SimpleNamespace(train_images=images, classes=range(classes))
    return build(run, parts, 5, torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(
    ("run", "parameters"),
    [
        # Σ (filters · fan-in + biases): 6·25+6, 16·150+16, 120·400+120, 84·120+84, 10·84+10
        (LENET, 156 + 2416 + 48_120 + 10_164 + 850),
        # Filters 9·c·o, two numbers a channel of batch norm, 64·10+10; width 3 is the paper's
        (
            RESIDUAL,
            9 * (3 * 16 + 6 * 16 * 16 + 16 * 32 + 5 * 32 * 32 + 32 * 64 + 5 * 64 * 64)
            + 2 * (16 + 6 * 16 + 6 * 32 + 6 * 64)
            + 650,
        ),
        (
            replace(RESIDUAL, width=3),
            9 * (3 * 48 + 6 * 48 * 48 + 48 * 96 + 5 * 96 * 96 + 96 * 192 + 5 * 192 * 192)
            + 2 * (48 + 6 * 48 + 6 * 96 + 6 * 192)
            + 1930,
        ),
    ],
)
def test_parameters_and_logits(run, parameters):
    network = made(run)
    assert sum(p.numel() for p in network.parameters()) == parameters
    assert network(torch.zeros(5, *SHAPES[run.network])).shape == (5, 10)


def test_large_images_are_halved():
    network = made(RESIDUAL, shape=(3, 64, 64), classes=200)
    assert network[:4](torch.zeros(2, 3, 64, 64)).shape == (2, 16, 32, 32)


def test_initialisation_is_of_the_generator_alone():
    state = torch.get_rng_state()
    first, again, other = made(LENET), made(LENET), made(LENET, 1)
    assert torch.get_rng_state().equal(state)
    third = [network[6].weight for network in (first, again, other)]
    assert third[0].equal(third[1])
    assert not third[0].equal(third[2])
    assert not first[6].bias.any()


@pytest.mark.parametrize(
    ("law", "of_filters", "of_matrix"),
    [
        ("scripts", 4 / (16 * 25 + 120 * 25), 2 / (120 + 84)),
        ("he", 2 / (16 * 25), 2 / 120),
    ],
)
def test_the_law_of_the_weights(law, of_filters, of_matrix):
    network = made(replace(LENET, initialisation=law))
    for weight, variance in ((network[6].weight, of_filters), (network[9].weight, of_matrix)):
        # The sample variance of n draws is within 5 of its deviations, at most √(2/n) of it.
        within = 5 * (2 / weight.numel()) ** 0.5
        assert weight.var().item() == pytest.approx(variance, rel=within)
        bounded = weight.abs().max().item() <= (3 * variance) ** 0.5 * (1 + 1e-6)
        assert bounded == (law == "scripts")  # uniform, or normal


def test_the_law_of_filters_with_a_stride():
    """Their outputs meet fewer places: fan-out is divided by the stride squared."""
    network = made(replace(RESIDUAL, width=2))
    for level, stride in ((3, 1), (6, 2), (9, 2)):
        weight = network[level].branch[0].weight
        fan_in, fan_out = weight[0].numel(), weight[:, 0].numel() / stride**2
        within = 5 * (2 / weight.numel()) ** 0.5
        assert weight.var().item() == pytest.approx(4 / (fan_in + fan_out), rel=within)


def test_a_law_that_is_not_known_is_refused():
    with pytest.raises(ValueError, match="initialisation to be one of scripts, he; got 'xavier'"):
        replace(LENET, initialisation="xavier")


def test_the_shortcut_pools_and_adds_channels_of_zeros():
    x = torch.arange(16.0).reshape(1, 1, 4, 4)
    y = shortcut(x, extra=2, stride=2)
    assert y.tolist() == [[[[2.5, 4.5], [10.5, 12.5]], [[0, 0], [0, 0]], [[0, 0], [0, 0]]]]


def test_dropout_is_the_mask_it_is_given():
    dropout = GivenDropout(2, 3)
    dropout.mask.copy_(torch.tensor([[1.0, 0, 1], [0, 1, 1]]))
    assert dropout(torch.ones(2, 3)).tolist() == [[2, 0, 2], [0, 2, 2]]
    assert dropout.eval()(torch.ones(2, 3)).tolist() == [[1, 1, 1], [1, 1, 1]]
