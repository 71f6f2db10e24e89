"""Losses and their derivatives, by complex step and against SciPy."""

import numpy as np
import pytest
from scipy.special import log_softmax, softmax

from gradreg_ref import losses

STEP = 2.0**-200
Z = np.random.default_rng(0).standard_normal((3, 4)) * 5
Y = {"cross_entropy": np.array([0, 3, 1]), "mean_squared_error": np.cos(Z)}


@pytest.mark.parametrize("name", losses.LOSSES)
def test_gradient_is_the_complex_step_of_the_loss(name):
    value, gradient = losses.LOSSES[name]
    columns = [value(Z + 1j * STEP * d, Y[name]).imag / STEP for d in np.eye(4)]
    np.testing.assert_allclose(
        gradient(Z, Y[name]), np.stack(columns, axis=1), rtol=1e-12, atol=1e-16
    )


def test_softmax_jacobian_is_the_complex_step_of_softmax():
    columns = [losses.softmax(Z + 1j * STEP * d).imag / STEP for d in np.eye(4)]
    np.testing.assert_allclose(
        losses.softmax_jacobian(Z), np.stack(columns, 2), rtol=1e-12, atol=1e-16
    )


@pytest.mark.parametrize("shift", [0.0, 1e4, -1e4])
def test_softmax_is_scipy_s_and_never_overflows(shift):
    np.testing.assert_allclose(losses.softmax(Z + shift), softmax(Z + shift, axis=1), rtol=1e-12)
    np.testing.assert_allclose(
        losses.log_softmax(Z + shift), log_softmax(Z + shift, axis=1), rtol=1e-12, atol=1e-14
    )


def test_values_by_hand():
    np.testing.assert_allclose(losses.cross_entropy(np.zeros((1, 4)), np.array([2])), np.log(4))
    assert losses.mean_squared_error(np.array([[1.0, 3.0]]), np.zeros((1, 2))) == 5.0
