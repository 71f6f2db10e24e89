"""FrobReg of an explicit Jacobian."""

import numpy as np
import pytest
from claims import holds

from gradreg_ref import frobreg

test_claims = holds("frobreg-formula")


def test_value_by_hand():
    J = np.array([[[1.0, 2.0], [3.0, 4.0]], [[1.0, 0.0], [0.0, 0.0]]])
    assert frobreg(J, reduction="none").tolist() == [30.0, 1.0]
    assert frobreg(J) == 15.5
    assert frobreg(J, reduction="sum") == 31.0


@pytest.mark.parametrize(
    ("J", "message"),
    [
        (np.ones((4, 5)), r"shape \(n, k, i\), got \(4, 5\); for one example pass J\[None\]"),
        (np.ones((2, 3, 4, 4)), "flatten logits and inputs"),
        (np.ones((0, 3, 4)), "skip empty batches"),
        (np.ones((2, 3, 0)), "no empty axis"),
        (np.full((1, 2, 2), np.nan), "finite"),
    ],
)
def test_refuses(J, message):
    with pytest.raises(ValueError, match=message):
        frobreg(J)


def test_refuses_integers():
    with pytest.raises(TypeError, match=r"got int64; convert it with \.astype\(float\)"):
        frobreg(np.ones((1, 2, 2), dtype=int))


def test_takes_lists():
    assert frobreg([[[1.0, 2.0]]]) == 5.0


def test_refuses_an_unknown_reduction():
    with pytest.raises(ValueError, match="none, mean, sum; got 'average'"):
        frobreg(np.ones((1, 2, 2)), reduction="average")
