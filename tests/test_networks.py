"""Layers: value by hand, local Jacobian by complex step on the value, J by the chain rule."""

import numpy as np
import pytest
from hypothesis import given
from scipy.signal import correlate2d

from gradreg_ref import networks as ref
from gradreg_ref.networks.activation import TABLE
from gradreg_ref.verify.comparison import same
from gradreg_ref.verify.strategies import example as examples

STEP = 2.0**-200
RNG = np.random.default_rng(0)
NORMAL = RNG.standard_normal
IMAGE = NORMAL((3, 2, 5, 4))

LAYERS = {
    "linear": (ref.Linear(NORMAL((3, 4)), NORMAL(3)), NORMAL((2, 4))),
    "linear without bias": (ref.Linear(NORMAL((3, 4))), NORMAL((2, 4))),
    "convolution": (ref.Conv2d(NORMAL((3, 2, 2, 3)), NORMAL(3)), IMAGE),
    "strided, padded": (ref.Conv2d(NORMAL((3, 2, 3, 3)), None, 2, 1), IMAGE),
    "average pool": (ref.AvgPool2d(2, 1), IMAGE),
    "max pool": (ref.MaxPool2d(2, 2), IMAGE),
    "overlapping max pool": (ref.MaxPool2d(3, 1), IMAGE),
    "batch norm": (ref.BatchNorm(NORMAL(2), NORMAL(2), NORMAL(2), NORMAL(2) ** 2), IMAGE),
    "batch norm of rows": (ref.BatchNorm(*NORMAL((3, 4)), np.ones(4)), NORMAL((2, 4))),
    "dropout": (ref.Dropout(RNG.integers(0, 2, (2, 5, 4)).astype(float), 0.5), IMAGE),
    "flatten": (ref.Flatten(), IMAGE),
    "residual": (
        ref.Residual((ref.Linear(NORMAL((4, 4))), ref.Activation("tanh"))),
        NORMAL((2, 4)),
    ),
} | {name: (ref.Activation(name), 3 * NORMAL((2, 4))) for name in TABLE}


@pytest.mark.parametrize("name", LAYERS)
def test_local_jacobian_is_the_complex_step_of_the_value(name):
    layer, x = LAYERS[name]
    columns = [
        layer.forward(x + 1j * STEP * d.reshape(x.shape[1:])).imag.reshape(len(x), -1) / STEP
        for d in np.eye(x[0].size)
    ]
    np.testing.assert_allclose(layer.derivative(x), np.stack(columns, 2), rtol=1e-13, atol=1e-15)


def test_batch_norm_in_evaluation_mode():
    layer = ref.BatchNorm(*np.array([[6.0], [1.0], [2.0], [3.75]]), eps=0.25)
    assert layer.forward(np.array([[4.0]])).tolist() == [[7.0]]  # 6 (4 − 2) / 2 + 1


def test_a_network_without_parameters_has_none():
    assert ref.Network((ref.Flatten(),)).parameters().shape == (0,)


def test_convolution_is_scipy_s():
    layer, x = LAYERS["convolution"]
    y = layer.forward(x)
    for o in range(3):
        expected = sum(correlate2d(x[1, c], layer.weight[o, c], "valid") for c in range(2))
        np.testing.assert_allclose(y[1, o], expected + layer.bias[o], rtol=1e-13)


def test_stride_and_padding_are_rows_of_the_padded_convolution():
    layer, x = LAYERS["strided, padded"]
    full = ref.Conv2d(layer.weight).forward(np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1))))
    np.testing.assert_allclose(layer.forward(x), full[:, :, ::2, ::2], rtol=1e-13)


def test_pools_by_hand():
    x = np.array([[[[1.0, 3.0, 2.0, 2.0], [0.0, 2.0, 5.0, 7.0]]]])
    assert ref.MaxPool2d(2, 2).forward(x).tolist() == [[[[3.0, 7.0]]]]
    assert ref.AvgPool2d(2, 2).forward(x).tolist() == [[[[1.5, 4.0]]]]


def test_of_equal_maxima_the_first_wins():
    D = ref.MaxPool2d(2, 2).derivative(np.ones((1, 1, 2, 2)))
    assert D.tolist() == [[[1.0, 0.0, 0.0, 0.0]]]


def test_relu_at_its_kink_is_flat():
    assert ref.Activation("relu").derivative(np.zeros((1, 1))).tolist() == [[[0.0]]]


@pytest.mark.parametrize("name", ["softplus", "silu", "gelu", "tanh"])
def test_activations_do_not_overflow(name):
    x = np.array([[-700.0, 700.0]])
    layer = ref.Activation(name)
    limits = {"tanh": [-1.0, 1.0]}.get(name, [0.0, 700.0])
    np.testing.assert_allclose(layer.forward(x)[0], limits, atol=1e-100)
    slopes = {"tanh": [0.0, 0.0]}.get(name, [0.0, 1.0])
    np.testing.assert_allclose(np.diagonal(layer.derivative(x)[0]), slopes, atol=1e-100)


@given(e=examples())
def test_jacobian_is_the_complex_step_of_the_logits(e):
    flat = e.x.reshape(len(e.x), -1)
    columns = [
        e.network.forward((flat + 1j * STEP * d).reshape(e.x.shape)).imag / STEP
        for d in np.eye(flat.shape[1])
    ]
    same("J", e.J, np.stack(columns, axis=2), exact=False)


def test_parameters_come_in_order_and_go_back():
    net = ref.Network(
        (
            ref.Linear(np.ones((1, 2)), np.array([3.0])),
            ref.Residual((ref.Linear(np.full((1, 1), 4.0)),)),
        )
    )
    assert net.parameters().tolist() == [1, 1, 3, 4]
    moved = net.with_parameters(np.array([5.0, 6, 7, 8]))
    assert moved.forward(np.ones((1, 2))).tolist() == [[18 + 18 * 8]]
    with pytest.raises(ValueError, match=r"theta with shape \(4,\), got \(3,\)"):
        net.with_parameters(np.ones(3))


NET = ref.Network((ref.Linear(np.ones((1, 2))),))


@pytest.mark.parametrize(
    ("x", "message"),
    [
        (np.ones(2), r"one example is x\[None\]"),
        (np.ones((0, 2)), "n >= 1"),
        (np.ones((1, 2), dtype=int), "floating dtype"),
        (np.array([[1.0, np.nan]]), "expected x finite"),
    ],
)
def test_refuses_bad_inputs(x, message):
    with pytest.raises((ValueError, TypeError), match=message):
        NET.jacobian(x)


def test_refuses_bad_layers():
    with pytest.raises(ValueError, match="activation among relu"):
        ref.Activation("sin")
    with pytest.raises(ValueError, match="input of length >= 3, got 2"):
        ref.Conv2d(np.ones((1, 1, 3, 3))).forward(np.ones((1, 1, 2, 2)))
    with pytest.raises(ValueError, match="body to keep the shape"):
        ref.Residual((ref.Linear(np.ones((3, 2))),)).forward(np.ones((1, 2)))
