"""The read-out network: its Jacobian is [I 0], and its gradient spells the probes."""

import numpy as np
import pytest

from gradreg_ref.complex_step import gradient
from gradreg_ref.penalties import evaluate
from gradreg_verify import Broken
from gradreg_verify.claims import law_tests, long_tests, read_out_tests
from gradreg_verify.subject import readout
from gradreg_verify.subject.interception import realise


def read(penalty, n, m, **options):
    """Σ_j r_j r_jᵀ / q of every example, from the reference's own gradient of the batch sum."""
    network, x = readout.network(n, m)
    full = gradient(
        lambda net: evaluate(penalty, net, x, None, reduction="sum", **options), network
    )
    return readout.second_moments(in_blocks(full, n, m), n, m)


def in_blocks(full, n, m):
    """The part of a gradient in the weights of the blocks."""
    i = readout.selectors(n)
    start = (m + 2 * i) * (m + i + 1) + (m + i) * (m + 2 * i + 1)  # after split and join
    return full[start : start + n * m * (m + i)]


@pytest.mark.parametrize(("n", "m"), [(1, 1), (1, 3), (2, 2), (3, 4), (6, 2), (7, 3), (308, 2)])
def test_jacobian_is_the_identity_beside_zero(n, m):
    network, x = readout.network(n, m)
    J = network.jacobian(x)
    np.testing.assert_array_equal(J, np.broadcast_to(np.eye(m, m + readout.selectors(n)), J.shape))
    assert np.ptp(network.forward(x)) == 0, "equal logits"


def test_images_have_three_channels_two_columns_and_the_same_jacobian():
    network, x = readout.network(2, 3, images=True)
    assert x.shape == (2, 3, 1, 2)
    J = network.jacobian(x).reshape(2, 3, 6)
    np.testing.assert_array_equal(J, np.broadcast_to(np.eye(3, 6), J.shape))


@pytest.mark.parametrize(("n", "m", "q"), [(1, 2, 1), (3, 4, 1), (2, 4, 3), (2, 3, 3), (9, 2, 1)])
def test_probes_are_read_out_exactly(n, m, q):
    r = np.random.default_rng(0).integers(-8, 9, (n, m, q)) / 4
    moments = read("spectreg", n, m, probes=r)
    np.testing.assert_allclose(moments, np.einsum("nkq,nlq->nkl", r, r) / q, atol=1e-12)
    R = readout.probes(moments, q)
    np.testing.assert_allclose(R @ R.transpose(0, 2, 1), r @ r.transpose(0, 2, 1), atol=1e-12)


def test_the_sign_is_all_that_one_probe_loses():
    r = np.random.default_rng(1).standard_normal((4, 3, 1))
    R = readout.probes(read("spectreg", 4, 3, probes=r), 1)
    np.testing.assert_allclose(np.abs(np.einsum("nkq,nkq->n", R, r)), (r * r).sum((1, 2)))


def test_probes_of_the_inputs_show_their_part_in_u():
    n, m = 2, 3
    v = np.random.default_rng(2).standard_normal((n, m + n, 1))
    moments = read("spectreg", n, m, probes=v, side="input")
    np.testing.assert_allclose(moments, np.einsum("nkq,nlq->nkl", v[:, :m], v[:, :m]), atol=1e-12)


def test_jacreg_shows_its_probe_without_its_mean():
    n, m = 2, 4
    r = np.random.default_rng(3).standard_normal((n, m, 1))
    centred = (r - r.mean(axis=1, keepdims=True)) / m
    moments = read("jacreg", n, m, probes=r)
    np.testing.assert_allclose(moments, centred @ centred.transpose(0, 2, 1), atol=1e-12)


def test_more_probes_than_declared_are_seen():
    r = np.random.default_rng(4).standard_normal((2, 4, 2))
    with pytest.raises(Broken, match=r"expected 1 probe\(s\) per example"):
        readout.probes(read("spectreg", 2, 4, probes=r), 1)


def test_a_large_batch_needs_two_numbers_for_its_rows_and_columns():
    assert [readout.selectors(n) for n in (1, 2, 6, 7, 9, 50, 308)] == [1, 2, 6, 6, 6, 16, 36]


@pytest.mark.parametrize(("law", "m"), [("gaussian", 3), ("rademacher", 3), ("onehot", 3)])
def test_chunks_with_the_same_probes_are_found(law, m):
    """Two calls are enough where every row of a chunk repeats one of the chunk before."""
    r = LONG[law](np.random.default_rng(0), (600, m, 1)).reshape(2, 300, m)
    assert read_out_tests.rows_alike(r.reshape(600, m), law, 300)[1] > 1e-3
    r[:, 256:] = r[:, :44]
    assert read_out_tests.rows_alike(r.reshape(600, m), law, 300)[1] < 1e-12


def test_no_sum_of_squares_has_negative_eigenvalues():
    with pytest.raises(Broken, match="negative eigenvalues"):
        readout.probes(-np.eye(2)[None], 1)


def test_what_is_no_quadratic_form_is_seen():
    network, _ = readout.network(2, 3)
    full = np.random.default_rng(5).standard_normal(network.parameters().size)
    with pytest.raises(Broken, match="asymmetric"):
        readout.second_moments(in_blocks(full, 2, 3), 2, 3)


@pytest.mark.parametrize("probe", ["gaussian", "rademacher", "sphere", "orthogonal", "onehot"])
def test_realised_probes_have_their_law_s_structure_and_stay(probe):
    r = realise(probe, np.random.default_rng(6).integers(-8, 9, (5, 4, 2)) / 4)
    np.testing.assert_allclose(realise(probe, r), r, atol=1e-12)
    if probe != "gaussian":
        np.testing.assert_allclose((r * r).sum(axis=1), 4)
    if probe == "orthogonal":
        np.testing.assert_allclose(np.einsum("nk,nk->n", r[:, :, 0], r[:, :, 1]), 0, atol=1e-12)


def test_products_that_are_all_zero_refute_a_law():
    """Two orthogonal probes of unit vectors: 0/0 would be no p-value, and hide all others."""
    rng = np.random.default_rng(0)
    classes = rng.permuted(np.tile(np.arange(3), (400, 1)), axis=1)[:, :2]
    r = np.sqrt(3) * np.eye(3)[classes].transpose(0, 2, 1)
    tests = dict(read_out_tests.several_read_out(r, "orthogonal", rng))
    assert tests["orthogonal: coordinates (0, 1) are correlated: all products are zero"] == 0
    assert all(0 <= p <= 1 for p in tests.values())


def test_two_coordinates_that_are_parallel_by_chance_are_not_the_same():
    """Of 4000 pairs of directions in the plane one in ten runs has a pair parallel to 1e-9."""
    r = np.random.default_rng(0).standard_normal((200, 2))
    r[1] = r[0] * (1 + 1e-3)
    (what, p), *_ = read_out_tests.each_row(r, "gaussian", 1, "")
    assert "0 of 199 are the same" in what
    assert p == 1


@pytest.mark.parametrize(
    ("change", "what"), [(lambda r: r.clip(-2, 2), "clamped"), (lambda r: r.round(1), "rounded")]
)
def test_gaussians_that_come_again_are_clamped_or_rounded(change, what):
    r = np.random.default_rng(0).standard_normal((4000, 3, 1))
    law_tests.exact_structure(r, "gaussian", 50)
    with pytest.raises(Broken, match=f"gaussian: {what} numbers, .* of them come again"):
        law_tests.exact_structure(change(r), "gaussian", 50)


LONG = {
    "gaussian": lambda rng, shape: rng.standard_normal(shape),
    "rademacher": lambda rng, shape: rng.choice([-1.0, 1.0], shape),
    "sphere": lambda rng, shape: on_the_sphere(rng.standard_normal(shape)),
    "onehot": lambda rng, shape: classes(rng.integers(0, shape[1], shape[0]), shape),
}


def on_the_sphere(r):
    return r * np.sqrt(r.shape[1] / (r * r).sum(axis=1, keepdims=True))


def classes(c, shape):
    r = np.zeros(shape)
    r[np.arange(len(c)), c] = np.sqrt(shape[1])
    return r


def least(r, law):
    """The least p-value, times the number of tests; 0 for what no probe of the law is."""
    try:
        p = [p for _, p in long_tests.tests(r, law)]
    except Broken:
        return 0.0
    return len(p) * min(p)


@pytest.mark.parametrize("law", LONG)
def test_probes_of_many_logits_pass(law):
    shape = (long_tests.BATCH * long_tests.CALLS, long_tests.LENGTH, 1)
    for seed in range(20):
        assert least(LONG[law](np.random.default_rng(seed), shape), law) > 1e-3


@pytest.mark.parametrize(
    ("law", "change"),
    [
        ("gaussian", lambda r: r * (np.arange(131) < 130)[:, None]),
        ("gaussian", lambda r: r[:, np.arange(131) % 100]),
        ("gaussian", np.sign),
        ("gaussian", lambda r: on_the_sphere(r).clip(-2, 2)),
        ("sphere", lambda r: on_the_sphere(r[:, np.arange(131) % 100])),
        ("sphere", lambda r: np.sign(r)),
        ("rademacher", lambda r: r[:, np.arange(131) % 130]),
        ("rademacher", lambda r: r * (np.arange(131) < 130)[:, None]),
        ("onehot", lambda r: np.sqrt(131) * np.eye(131)[r[:, :, 0].argmax(1) % 100][:, :, None]),
        ("onehot", lambda r: np.sqrt(131) * np.eye(131)[r[:, :, 0].argmax(1) // 2 * 2][:, :, None]),
    ],
)
def test_faults_of_many_logits_are_found(law, change):
    shape = (long_tests.BATCH * long_tests.CALLS, long_tests.LENGTH, 1)
    assert least(change(LONG[law](np.random.default_rng(0), shape)), law) <= 1e-9


def test_a_coordinate_that_several_probes_leave_out_is_found():
    r = np.random.default_rng(0).standard_normal((16, 131, 3))
    assert not list(long_tests.tests(r, "gaussian"))
    r[:, 130] = 0
    assert least(r, "gaussian") == 0
