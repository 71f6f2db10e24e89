"""Onehot, and Random onehot as a law of probes."""

import numpy as np
import pytest
from claims import holds

from gradreg_ref import frobreg, onehot, spectreg

test_claims = holds("onehot-formula")

J = np.random.default_rng(0).integers(-4, 5, (2, 3, 4)) / 4


def test_sum_over_labels_is_frobreg():
    total = sum(onehot(J, np.full(2, k), reduction="none") for k in range(3))
    np.testing.assert_array_equal(total, frobreg(J, reduction="none"))


def test_random_onehot_is_m_times_onehot_of_the_class_drawn():
    rng = np.random.default_rng
    classes = rng(5).integers(0, 3, (2, 1))[:, 0]
    value = spectreg(J, probe="onehot", rng=rng(5), reduction="none")
    np.testing.assert_allclose(value, 3 * onehot(J, classes, reduction="none"), rtol=1e-15)


@pytest.mark.parametrize("y", [np.array([0, 3]), np.array([-1, 0])])
def test_refuses_labels_out_of_range(y):
    with pytest.raises(ValueError, match=r"labels in \[0, 3\)"):
        onehot(J, y)


def test_refuses_float_and_onehot_labels():
    with pytest.raises(TypeError, match="integer dtype"):
        onehot(J, np.zeros(2))
    with pytest.raises(ValueError, match=r"labels with shape \(2,\), got \(2, 3\)"):
        onehot(J, np.eye(3)[:2])
