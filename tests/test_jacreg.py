"""JacReg of an explicit Jacobian."""

import numpy as np
import pytest
from claims import holds
from hypothesis import assume, given
from strategies import example as examples

from gradreg_ref import frobreg, jacreg
from gradreg_ref.losses import softmax
from gradreg_verify.claims.comparison import same

test_claims = holds("jacreg-formula")

STEP = 2.0**-200


@given(e=examples())
def test_is_the_jacobian_of_the_probabilities(e):
    """∂p/∂x by complex step through the network, without S or J."""
    assume(e.probes.shape[1] > 1)
    flat = e.x.reshape(len(e.x), -1)
    columns = [
        softmax(e.network.forward((flat + 1j * STEP * d).reshape(e.x.shape))).imag / STEP
        for d in np.eye(flat.shape[1])
    ]
    J_p = np.stack(columns, axis=2)
    same(
        "‖∂p/∂x‖²", jacreg(e.J, e.z, reduction="none"), frobreg(J_p, reduction="none"), exact=False
    )


def test_bound_is_attained_at_two_classes_and_even_odds():
    """S = [[1, −1], [−1, 1]]/4; J along (1, −1) loses nothing but the factor 4."""
    J = np.array([[[1.0], [-1.0]]])
    assert jacreg(J, np.zeros((1, 2))) == frobreg(J) / 4


J, Z = np.ones((2, 3, 4)), np.zeros((2, 3))


def seeded(**options):
    slopes = np.arange(24.0).reshape(2, 3, 4) ** 2
    return jacreg(slopes, Z, rng=np.random.default_rng(1), **options)


def test_one_gaussian_probe_an_example_by_default():
    assert seeded(num_probes=1) == seeded(num_probes=1, probe="gaussian", shared_probe=False)
    probes = np.random.default_rng(1).standard_normal((2, 3, 1))
    slopes = np.arange(24.0).reshape(2, 3, 4) ** 2
    assert jacreg(slopes, Z, probes=probes) == seeded(num_probes=1)


def test_probes_are_averaged():
    slopes = np.arange(24.0).reshape(2, 3, 4) ** 2
    probes = np.random.default_rng(0).standard_normal((2, 3, 2))
    each = [jacreg(slopes, Z, probes=probes[:, :, [q]]) for q in (0, 1)]
    np.testing.assert_allclose(jacreg(slopes, Z, probes=probes), np.mean(each), rtol=1e-14)


@pytest.mark.parametrize(
    "options", [{"rng": np.random.default_rng(0)}, {"shared_probe": True}, {"probe": "gaussian"}]
)
def test_options_of_probes_without_probes_are_refused(options):
    with pytest.raises(ValueError, match="expected num_probes >= 1 with"):
        jacreg(J, Z, **options)


@pytest.mark.parametrize(
    ("z", "options", "message"),
    [
        (np.zeros((2, 2)), {}, r"logits with shape \(2, 3\)"),
        (Z, {"num_probes": 3, "rng": np.random.default_rng(0)}, "jacreg without probes"),
        (Z, {"num_probes": 0, "rng": np.random.default_rng(0)}, "whole number >= 1, got 0"),
        (Z, {"probes": np.ones((2, 3))}, r"shape \(2, 3, q\)"),
        (Z, {"probes": np.ones((2, 3, 1)), "num_probes": 1}, "expected probes alone, got num_pro"),
    ],
)
def test_refuses(z, options, message):
    with pytest.raises(ValueError, match=message):
        jacreg(J, z, **options)


def test_refuses_one_logit():
    with pytest.raises(ValueError, match=r"at least 2 logits.*two logits \(0, z\)"):
        jacreg(J[:, :1], Z[:, :1])
