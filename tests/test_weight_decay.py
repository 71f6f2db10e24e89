"""Weight decay, and FrobReg as its generalisation."""

import numpy as np
import pytest
from claims import holds

from gradreg_ref import frobreg, weight_decay
from gradreg_ref.networks import BatchNorm, Linear, Network, Residual

test_claims = holds("weight-decay-formula")


def test_frobreg_of_a_linear_model_is_weight_decay():
    net = Network((Linear(np.array([[1.0, 2.0], [0.5, -1.0]]), np.ones(2)),))
    x = np.ones((3, 2))
    assert frobreg(net.jacobian(x)) == weight_decay(net.weights()) == 6.25


def test_biases_and_scales_do_not_decay():
    W = np.full((2, 2), 2.0)
    norm = BatchNorm(np.ones(2), np.ones(2), np.zeros(2), np.ones(2))
    net = Network((Linear(W, np.ones(2)), norm, Residual((Linear(W, np.ones(2)),))))
    assert weight_decay(net.weights()) == 32.0


def test_refuses():
    with pytest.raises(ValueError, match="at least one weight array, got none"):
        weight_decay([])
    with pytest.raises(TypeError, match="floating dtype"):
        weight_decay([np.ones((2, 2), dtype=int)])
