"""The confidence penalty."""

import numpy as np
import pytest
from claims import holds

from gradreg_ref import confidence_penalty

test_claims = holds("confidence-penalty-formula")


def test_between_minus_log_m_and_zero():
    z = np.array([[0.0, 0, 0], [100, 0, 0]])
    np.testing.assert_allclose(
        confidence_penalty(z, reduction="none"), [-np.log(3), 0.0], rtol=1e-15, atol=1e-40
    )


def test_large_logits_do_not_overflow():
    assert confidence_penalty(np.array([[1e4, -1e4]])) == 0.0


def test_refuses():
    with pytest.raises(ValueError, match="at least 2 logits"):
        confidence_penalty(np.zeros((2, 1)))
    with pytest.raises(ValueError, match=r"pass logits\[None\]"):
        confidence_penalty(np.zeros(3))
    with pytest.raises(TypeError, match="floating dtype"):
        confidence_penalty(np.zeros((2, 3), dtype=int))
