"""Complex step: exact derivatives, with no automatic differentiation."""

import numpy as np

from gradreg_ref import frobreg
from gradreg_ref.complex_step import directional_derivative, gradient
from gradreg_ref.networks import Linear, Network

W = np.array([[1.0, -2.0], [0.5, 3.0]])
NET = Network((Linear(W, np.zeros(2)),))
X = np.ones((3, 2))


def norm(net):
    return frobreg(net.jacobian(X))


def test_gradient_of_the_squared_norm_is_twice_the_weights():
    np.testing.assert_array_equal(gradient(norm, NET), [*(2 * W).ravel(), 0.0, 0.0])


def test_direction_is_the_gradient_times_it():
    d = np.arange(6.0)
    assert directional_derivative(norm, NET, d) == gradient(norm, NET) @ d


def test_what_is_below_the_step_is_zero():
    """z² at 0 leaves −h² in the real part; no such remainder is a derivative."""
    flat = Network((Linear(np.zeros((2, 2)), np.zeros(2)),))
    assert (gradient(lambda n: (n.jacobian(X) ** 3).sum(), flat) == 0).all()
