"""Reference networks as torch modules."""

import numpy as np
import pytest
import torch
from hypothesis import given
from strategies import example as examples
from torch import nn

from gradreg_ref.networks import (
    Activation,
    AvgPool2d,
    BatchNorm,
    Dropout,
    Linear,
    MaxPool2d,
    Network,
    Residual,
)
from gradreg_ref.networks.activation import TABLE
from gradreg_verify import bundled
from gradreg_verify.frameworks.torch import to_torch


@given(e=examples())
def test_the_module_has_the_parameters_in_order(e):
    module = to_torch(e.network)
    flat = np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])
    np.testing.assert_array_equal(flat, e.network.parameters())


def test_two_modules_of_a_network_share_nothing():
    for e in bundled():
        one, other = to_torch(e.network), to_torch(e.network)
        with torch.no_grad():
            for p in one.parameters():
                p += 1
        for m in one.modules():
            m.register_forward_hook(lambda *_: None)
            m.mine = 3
        assert not any(m._forward_hooks or hasattr(m, "mine") for m in other.modules())
        flat = np.concatenate([p.detach().numpy().ravel() for p in other.parameters()])
        np.testing.assert_array_equal(flat, e.network.parameters())


def test_a_layer_made_without_drawing_has_what_every_layer_has():
    (layer,) = to_torch(Network((Linear(np.ones((2, 3)), np.ones(2)),)))
    usual = nn.Linear(3, 2, dtype=torch.float64)
    assert type(layer) is nn.Linear
    assert str(layer) == str(usual)
    assert {n: type(v) for n, v in vars(layer).items()} == {
        n: type(v) for n, v in vars(usual).items()
    }


@given(e=examples())
def test_the_module_computes_the_same_logits(e):
    z = to_torch(e.network)(torch.from_numpy(e.x)).detach().numpy()
    if e.exact:
        np.testing.assert_array_equal(z, e.z)
    else:
        np.testing.assert_allclose(z, e.z, rtol=1e-12, atol=1e-13)


TWO = np.array([0.5, 2.0])
IMAGES = np.random.default_rng(0).standard_normal((3, 2, 5, 5))
LAYERS = [(e.network, e.x) for e in bundled()]
LAYERS += [
    (Network((layer,)), IMAGES)
    for layer in (MaxPool2d(3, 1), AvgPool2d(3, 2), BatchNorm(TWO, -TWO, TWO**2, TWO**3))
]


@pytest.mark.parametrize(("network", "x"), LAYERS)
def test_every_layer_s_value_and_jacobian_are_torch_s(network, x):
    module, inputs = to_torch(network), torch.from_numpy(x)
    z = network.forward(x)
    np.testing.assert_allclose(module(inputs).flatten(1).detach(), z, rtol=1e-12, atol=1e-13)
    J = torch.func.vmap(torch.func.jacrev(lambda x: module(x[None])[0]))(inputs)
    J = J.detach().numpy().reshape(*z.shape, -1)
    np.testing.assert_allclose(J, network.jacobian(x), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("name", TABLE)
def test_activations_far_out(name):
    x = np.linspace(-60, 60, 241)[:, None]
    network = Network((Activation(name),))
    own = torch.from_numpy(x).requires_grad_()
    z = to_torch(network)(own)
    (slope,) = torch.autograd.grad(z.sum(), own)
    np.testing.assert_allclose(z.detach().numpy(), network.forward(x), rtol=1e-12, atol=1e-15)
    np.testing.assert_allclose(
        slope.numpy()[:, 0], network.jacobian(x)[:, 0, 0], rtol=1e-12, atol=1e-15
    )


def test_refuses_what_is_no_network():
    with pytest.raises(TypeError, match="expected a Network of gradreg_ref, got Linear"):
        to_torch(nn.Linear(2, 3))


class Doubled:
    """A layer of one's own: x ↦ 2x."""

    parameter_names = ()

    def forward(self, x):
        return 2 * x

    def derivative(self, x):
        return 2 * np.eye(x.shape[1])[None]


def test_refuses_an_unknown_layer():
    with pytest.raises(TypeError, match=r"layer of gradreg_ref\.networks, got Doubled"):
        to_torch(Network((Doubled(),)))


def test_dropout_and_residual_are_layers_too():
    mask = np.array([[1.0, 0.0]])
    network = Network((Residual((Dropout(mask[0], 0.5), Activation("tanh"))),))
    x = np.array([[0.5, 2.0]])
    np.testing.assert_allclose(
        to_torch(network)(torch.from_numpy(x)), network.forward(x), rtol=1e-15
    )
