"""Reference networks as torch modules and back."""

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
from gradreg_verify.frameworks.torch import from_torch, to_torch


@given(e=examples())
def test_there_and_back(e):
    module = to_torch(e.network)
    back = from_torch(module)
    np.testing.assert_array_equal(back.parameters(), e.network.parameters())
    flat = np.concatenate([p.detach().numpy().ravel() for p in module.parameters()])
    np.testing.assert_array_equal(flat, e.network.parameters())
    np.testing.assert_array_equal(back.forward(e.x), e.network.forward(e.x))


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


def test_the_user_s_modules():
    module = nn.Sequential(
        nn.Conv2d(1, 2, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(2),
        nn.Sequential(nn.GELU(), nn.MaxPool2d(2, 1)),
        nn.Identity(),
        nn.Dropout(0.3),
        nn.Flatten(),
        nn.Linear(2, 3),
    ).double().eval()  # fmt: skip
    x = torch.randn(2, 1, 4, 4, generator=torch.Generator().manual_seed(0)).double()
    network = from_torch(module)
    np.testing.assert_allclose(network.forward(x.numpy()), module(x).detach().numpy(), rtol=1e-13)
    jacobian = torch.func.vmap(torch.func.jacrev(lambda x: module(x[None])[0]))(x)
    np.testing.assert_allclose(
        network.jacobian(x.numpy()),
        jacobian.detach().numpy().reshape(2, 3, -1),
        rtol=1e-12,
        atol=1e-15,
    )


@pytest.mark.parametrize(
    ("module", "message"),
    [
        (nn.LSTM(2, 2), "expected a layer that the reference has"),
        (nn.BatchNorm1d(2), r"BatchNorm1d in evaluation mode; call \.eval\(\)"),
        (nn.Dropout(), "Dropout in evaluation mode"),
        (nn.Conv2d(2, 2, 3, groups=2), "one group"),
        (nn.Conv2d(1, 1, 3, padding="same"), "zero padding"),
        (nn.Conv2d(1, 1, 3, padding=(0, 1)), "zero padding"),
        (nn.MaxPool2d(2, padding=1), "without padding"),
        (nn.AvgPool2d((2, 3)), "square pool"),
        (nn.GELU(approximate="tanh"), "got its tanh approximation"),
        (nn.Softplus(beta=3), "beta = 1"),
        (nn.MaxPool2d(3, stride=(1, 1)), "square pool"),
        (nn.BatchNorm1d(2, affine=False).eval(), "affine batch norm"),
        (type("Own", (nn.Linear,), {"forward": lambda self, x: x})(2, 2), "of the class Own"),
        (nn.Flatten(0), "expected a layer that the reference has"),
    ],
)
def test_refuses_what_the_reference_has_not(module, message):
    with pytest.raises((TypeError, ValueError), match=message):
        from_torch(nn.Sequential(module))


def test_refuses_shared_parameters_and_hooks():
    layer = nn.Linear(2, 2)
    with pytest.raises(ValueError, match="parameters that layers share"):
        from_torch(nn.Sequential(layer, layer))
    layer.register_forward_hook(lambda *_: None)
    with pytest.raises(TypeError, match="with hooks"):
        from_torch(layer)


def test_refuses_what_is_no_network():
    with pytest.raises(TypeError, match=r"expected an nn\.Module, got NoneType"):
        from_torch(None)
    with pytest.raises(TypeError, match="expected a Network of gradreg_ref, got Linear"):
        to_torch(nn.Linear(2, 3))


def test_refuses_an_unknown_layer():
    with pytest.raises(TypeError, match=r"layer of gradreg_ref\.networks, got object"):
        to_torch(Network((object(),)))


def test_dropout_and_residual_are_layers_too():
    mask = np.array([[1.0, 0.0]])
    network = Network((Residual((Dropout(mask[0], 0.5), Activation("tanh"))),))
    x = np.array([[0.5, 2.0]])
    np.testing.assert_allclose(
        to_torch(network)(torch.from_numpy(x)), network.forward(x), rtol=1e-15
    )
