"""DoubleBack of an explicit Jacobian: a projection by the loss's own gradient."""

import numpy as np
import pytest
from claims import holds
from hypothesis import given
from hypothesis import strategies as st
from strategies import example as examples

from gradreg_ref import doubleback, spectreg
from gradreg_ref.losses import LOSSES, cross_entropy, softmax
from gradreg_verify.claims.comparison import same

test_claims = holds("doubleback-formula")

STEP = 2.0**-200


def input_gradient(e, loss, y):
    """∂L/∂x by complex step through the *network*, without any Jacobian."""
    flat = e.x.reshape(len(e.x), -1)
    columns = np.eye(flat.shape[1])
    losses = [
        LOSSES[loss][0](e.network.forward((flat + 1j * STEP * d).reshape(e.x.shape)), y).imag / STEP
        for d in columns
    ]
    return np.stack(losses, axis=1)


@given(e=examples(), loss=st.sampled_from(sorted(LOSSES)), soft=st.booleans())
def test_is_the_input_gradient_of_the_loss_and_a_projection(e, loss, soft):
    """Random networks, losses and labels: ‖∂L/∂x‖² = ‖Jᵀr‖² at the one probe r = ∂L/∂z."""
    z, m = e.z, e.probes.shape[1]
    if loss == "cross_entropy" and m == 1:
        return
    y = softmax(e.targets) if soft else e.y
    y = e.targets if loss == "mean_squared_error" else y
    by_loss = (input_gradient(e, loss, y) ** 2).sum(axis=1)
    value = doubleback(e.J, z, y, loss=loss, reduction="none")
    r = LOSSES[loss][1](z, y)[:, :, None]
    same("‖∂L/∂x‖²", value, by_loss, exact=False)
    same("‖Jᵀr‖²", value, spectreg(e.J, probes=r, reduction="none"), exact=True)


def test_a_mean_loss_would_be_too_small_by_the_square_of_the_batch():
    """‖∂(L₁ + … + L_B)/B / ∂x_b‖² = DB_b / B²: the commonest mistake, exactly."""
    J, z, y = np.ones((4, 2, 3)), np.zeros((4, 2)), np.zeros(4, dtype=int)
    mean_loss = sum((J[b].T @ (softmax(z)[b] - np.eye(2)[y[b]]) / 4) ** 2 for b in range(4)).sum()
    assert mean_loss == doubleback(J, z, y, reduction="sum") / 16


def test_labels_and_their_onehot_rows_are_the_same():
    J, z, y = np.arange(12.0).reshape(2, 3, 2), np.array([[0.0, 1, 2], [1, 1, 0]]), np.array([2, 0])
    assert doubleback(J, z, y) == doubleback(J, z, np.eye(3)[y])
    np.testing.assert_array_equal(cross_entropy(z, y), cross_entropy(z, np.eye(3)[y]))


J, Z = np.ones((2, 3, 4)), np.zeros((2, 3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((J, Z[:1], [0, 1]), r"logits with shape \(2, 3\) to match J"),
        ((J, Z[0], [0, 1]), r"pass logits\[None\]"),
        ((J, Z, [0, 3]), r"labels in \[0, 3\), got 0 to 3"),
        ((J, Z, [-1, 0]), "got -1 to 0; classes count from 0"),
        ((J, Z, [[0], [1]]), "expected y of a floating dtype"),
        ((J, Z, [[0.5, 0.5], [1.0, 0.0]]), r"shape \(2,\) or \(2, 3\), got \(2, 2\)"),
        ((J, Z, np.full((2, 3), 0.5)), "probabilities"),
        ((J[:, :1], Z[:, :1], [0, 0]), "at least 2 logits, got m = 1"),
    ],
)
def test_refuses(arguments, message):
    J, z, y = arguments
    with pytest.raises((ValueError, TypeError), match=message):
        doubleback(J, z, np.asarray(y))


def test_refuses_float_labels_and_wrong_targets():
    with pytest.raises(TypeError, match="labels of an integer dtype, got float64"):
        doubleback(J, Z, np.zeros(2))
    with pytest.raises(ValueError, match=r"like the outputs, got \(2,\); .*y\[:, None\]"):
        doubleback(J, Z, np.zeros(2), loss="mean_squared_error")
    with pytest.raises(ValueError, match="cross_entropy, mean_squared_error; got 'hinge'"):
        doubleback(J, Z, np.zeros(2, dtype=int), loss="hinge")
