"""SpectReg of an explicit Jacobian: the estimator, its probes and both sides."""

import numpy as np
import pytest
from claims import COMPILED, holds

from gradreg_ref import frobreg, spectreg
from gradreg_ref.probes import draw
from gradreg_verify import BY_ID, bundled

test_claims = holds(
    "spectreg-quadratic-form",
    "spectreg-unbiased",
    "gaussian-variance",
    "rademacher-variance",
    "sphere-variance",
    "probes-averaged",
    "frames-variance",
)

RNG = np.random.default_rng(0)
J = RNG.standard_normal((2, 3, 5))

# Probes are drawn for n examples of m logits, whatever the network: one example of each (n, m).
DRAWN = {e.probes.shape[:2]: e for e in bundled() if e.probes.shape[1] > 2}


def test_the_probes_of_a_seed_are_those_used(target):
    """The law of probes; where every shape is compiled anew, on one of them."""
    assert set(DRAWN) == {(2, 3), (2, 4), (2, 10), (5, 3), (5, 4)}
    for shape in [(2, 4)] if target.backend.name in COMPILED else DRAWN:
        BY_ID["probe-law"].check(target, DRAWN[shape])


def test_input_side_is_the_output_side_of_the_transpose():
    V = RNG.standard_normal((2, 5, 2))
    transposed = J.transpose(0, 2, 1)
    assert spectreg(J, probes=V, side="input") == spectreg(transposed, probes=V)


def test_every_input_probe_gives_frobreg():
    """Σ_i ‖J e_i‖² = ‖J‖²_F."""
    V = np.sqrt(5) * np.broadcast_to(np.eye(5), (2, 5, 5))
    value = spectreg(J, probes=V, side="input", reduction="none")
    np.testing.assert_allclose(value, frobreg(J, reduction="none"), rtol=1e-14)


def test_a_generator_draws_what_draw_draws():
    probes = draw("sphere", np.random.default_rng(7), 2, 3, 2)
    value = spectreg(J, probe="sphere", num_probes=2, rng=np.random.default_rng(7))
    assert value == spectreg(J, probes=probes)


def test_shared_probe_is_one_for_all():
    r = RNG.standard_normal((1, 3, 2))
    assert spectreg(J, probes=r, shared_probe=True) == spectreg(J, probes=np.repeat(r, 2, axis=0))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, r"rng=numpy\.random\.default_rng\(seed\), got None"),
        ({"rng": 0}, "got 0; randomness is always passed in"),
    ],
)
def test_randomness_is_passed_in(options, message):
    with pytest.raises(TypeError, match=message):
        spectreg(J, **options)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_probes": 3}, r"num_probes < m = 3, got 3: .* use frobreg"),
        ({"num_probes": 0}, "whole number >= 1, got 0"),
        ({"num_probes": 1.5}, "whole number >= 1, got 1.5"),
        ({"num_probes": True}, "whole number >= 1, got True"),
        (
            {"probe": "uniform"},
            "gaussian, rademacher, sphere, orthogonal, frames, onehot; got 'uniform'",
        ),
        ({"side": "left"}, "output, input; got 'left'"),
        ({"probes": np.ones((2, 3))}, r"shape \(2, 3, q\), got \(2, 3\); .*probes\[:, :, None\]"),
        ({"probes": np.ones((1, 3, 1))}, "pass shared_probe=True"),
        ({"probes": np.ones((2, 3, 1)), "shared_probe": True}, r"shape \(1, 3, q\)"),
        ({"probes": np.ones((2, 3, 0))}, r"got \(2, 3, 0\)"),
        ({"probes": np.full((2, 3, 1), np.inf)}, "expected probes finite"),
        ({"probes": J[:, :, :1], "probe": "gaussian"}, "expected probes alone, got probe beside"),
        ({"probes": J[:, :, :1], "num_probes": 1}, "expected probes alone, got num_probes beside"),
        (
            {"probes": J[:, :, :1], "rng": np.random.default_rng(0), "probe": "sphere"},
            "got probe and rng beside them, .*pass either probes, or how to draw them",
        ),
    ],
)
def test_refuses(options, message):
    rng = {} if "probes" in options else {"rng": np.random.default_rng(0)}
    with pytest.raises(ValueError, match=message):
        spectreg(J, **rng, **options)
