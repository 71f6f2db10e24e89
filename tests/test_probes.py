"""The samplers: the only place where a test draws random numbers, with both error rates stated.

Every law is tested on N = 400,000 independent pairs of examples from one fixed seed; per law the
probability of a false alarm (over seeds) is 1e-9.

Kolmogorov–Smirnov (gaussian, sphere, orthogonal): the critical distance is 3.4 / √N = 0.0053, and a
distribution function that is off by 0.0107 anywhere is missed with probability below 1e-9. For the
normal that is a scale 5 % off, t(10), or a uniform; smaller errors pass (a shift by 0.02, bf16).
Chi-square (rademacher, onehot): Σ (p/p₀ − 1)² p₀ above 0.0011 (signs) or 0.0014 (classes) is missed
with the same probability; for eight signs that is each biased to P(+1) = 0.506.
What the samplers are used for needs less: second moments, which the rules of cubature have exactly.
"""

import numpy as np
import pytest
from scipy import stats

from gradreg_ref.probes import LAWS, columns, draw

N, ALPHA = 400_000, 1e-9
SHAPES = [(1, 1, 1), (1, 3, 1), (2, 1, 1), (5, 3, 2), (2, 4, 4), (3, 10, 5)]


def samples(sampler, m, q):
    """N pairs of neighbouring examples, (N, 2, m, q)."""
    return sampler(np.random.default_rng(1), 2 * N, m, q).reshape(N, 2, m, q)


def assert_distributed(xs, cdf):
    for x in xs:
        assert stats.kstest(x, cdf, method="asymp").pvalue >= ALPHA / len(xs)


def assert_uniform(cells, number):
    counts = np.bincount(cells, minlength=number)
    assert counts.shape == (number,)
    assert stats.chisquare(counts).pvalue >= ALPHA


def assert_gaussian(sampler):
    """Of both examples, both coordinates and both probes: one, their sum, an alternating sum."""
    r = samples(sampler, 2, 2).reshape(N, 8)
    ones, alternating = np.ones(8), (-1.0) ** np.arange(8)
    assert_distributed([r[:, 0], r @ ones / np.sqrt(8), r @ alternating / np.sqrt(8)], "norm")


def assert_rademacher(sampler):
    """2⁸ equally likely patterns of two coordinates, two probes and two examples."""
    r = samples(sampler, 2, 2).reshape(N, 8)
    assert (np.abs(r) == 1).all()
    assert_uniform((r > 0) @ 2 ** np.arange(8), 2**8)


def assert_onehot(sampler):
    """5⁴ equally likely quadruples of classes of two probes and two examples."""
    r = samples(sampler, 5, 2)
    c = r.argmax(axis=2)
    assert np.array_equal(r, np.sqrt(5) * np.eye(5)[c].transpose(0, 1, 3, 2))
    assert_uniform(c.reshape(N, 4) @ 5 ** np.arange(4), 5**4)


def cosines(r):
    """Of unit vectors u: with an axis, with (1, …, 1), and with the example beside."""
    u = r / np.sqrt(r.shape[2])
    return [
        u[:, 0, 0, 0],
        u[:, 1, :, 1].sum(axis=1) / 2,
        (u[:, 0, :, 0] * u[:, 1, :, 0]).sum(axis=1),
    ]


def on_sphere(x):
    """P(u·e <= x) for u uniform on the unit sphere of R⁴: (1 + u·e)/2 ~ Beta(3/2, 3/2)."""
    return stats.beta.cdf((1 + x) / 2, 1.5, 1.5)


def assert_sphere(sampler):
    """Each cosine, and that of two probes of one example."""
    r = samples(sampler, 4, 2)
    assert np.abs((r * r).sum(axis=2) - 4).max() < 1e-14  # 4 u · 4: nine roundings at most
    assert_distributed([*cosines(r), (r[:, 0, :, 0] * r[:, 0, :, 1]).sum(axis=1) / 4], on_sphere)


def assert_orthogonal(sampler):
    """Each cosine, and that of Q v with an axis; exactly orthonormal within one example."""
    r = samples(sampler, 4, 2)
    gram = np.einsum("abkq,abkp->abqp", r, r)
    assert np.abs(gram - 4 * np.eye(2)).max() < 4e-14  # Householder in R⁴: some 40 u of 4
    assert_distributed([*cosines(r), r[:, 0, 0].sum(axis=1) / np.sqrt(8)], on_sphere)


def assert_frames(sampler):
    """Two probes of two examples: a whole orthogonal matrix, each column uniform."""
    r = samples(sampler, 4, 2)
    probes = r.transpose(0, 1, 3, 2).reshape(N, 4, 4)
    gram = np.einsum("abk,ack->abc", probes, probes)
    assert np.abs(gram - 4 * np.eye(4)).max() < 8e-14  # Householder in R⁴
    assert_distributed(cosines(r)[:2], on_sphere)


ASSERT = {
    "gaussian": assert_gaussian,
    "rademacher": assert_rademacher,
    "sphere": assert_sphere,
    "orthogonal": assert_orthogonal,
    "frames": assert_frames,
    "onehot": assert_onehot,
}


@pytest.mark.parametrize("law", LAWS)
def test_the_law(law):
    ASSERT[law](LAWS[law])


def changed(law, change):
    return lambda rng, n, m, q: change(LAWS[law](rng, n, m, q))


def first(axis):
    return lambda r: np.repeat(r.take([0], axis=axis), r.shape[axis], axis=axis)


def cube(rng, n, m, q):
    r = rng.uniform(-1, 1, (n, m, q))
    return np.sqrt(m) * r / np.sqrt((r * r).sum(axis=1, keepdims=True))


def normalised_over_probes(rng, n, m, q):
    r = rng.standard_normal((n, m, q))
    return np.sqrt(m) * r / np.sqrt((r * r).sum(axis=2, keepdims=True))


def uncorrected(rng, n, m, q):
    return np.sqrt(m) * np.linalg.qr(rng.standard_normal((n, m, q)))[0]


WRONG = {
    ("gaussian", "uniform"): lambda rng, n, m, q: rng.uniform(-(3**0.5), 3**0.5, (n, m, q)),
    ("gaussian", "t(10)"): lambda rng, n, m, q: rng.standard_t(10, (n, m, q)) * 0.8**0.5,
    ("gaussian", "scale 1.05"): changed("gaussian", lambda r: 1.05 * r),
    ("gaussian", "signs"): LAWS["rademacher"],
    ("rademacher", "P(+1) = 0.51"): lambda rng, n, m, q: np.sign(0.51 - rng.random((n, m, q))),
    ("rademacher", "{0, 1}"): changed("rademacher", lambda r: (r + 1) / 2),
    ("rademacher", "normal"): LAWS["gaussian"],
    ("sphere", "radius 1"): changed("sphere", lambda r: r / 2),
    ("sphere", "a cube, normalised"): cube,
    ("sphere", "the wrong axis"): normalised_over_probes,
    ("sphere", "positive"): changed("sphere", np.abs),
    ("orthogonal", "diag(R) of either sign"): uncorrected,
    ("orthogonal", "one column twice"): changed("orthogonal", first(2)),
    ("orthogonal", "independent"): LAWS["sphere"],
    ("orthogonal", "axes"): changed("orthogonal", lambda r: 2 * np.eye(4)[:, :2] + 0 * r),
    ("frames", "independent examples"): LAWS["orthogonal"],
    ("onehot", "the last class never"): lambda rng, n, m, q: np.concatenate(
        [LAWS["onehot"](rng, n, m - 1, q) * np.sqrt(m / (m - 1)), np.zeros((n, 1, q))], axis=1
    ),
    ("onehot", "not times √m"): changed("onehot", lambda r: r / np.sqrt(5)),
    **{
        (law, f"one {name} for all"): changed(law, first(axis))
        for law in ("gaussian", "rademacher", "sphere", "onehot")
        for axis, name in ((0, "example"), (2, "probe"))
    },
    **{
        (law, "neighbours alike"): changed(law, lambda r: np.repeat(r[::2], 2, axis=0))
        for law in LAWS
    },
    ("gaussian", "one coordinate for all"): changed("gaussian", first(1)),
    ("rademacher", "one coordinate for all"): changed("rademacher", first(1)),
}


@pytest.mark.parametrize(("law", "bug"), WRONG)
def test_a_wrong_law_is_noticed(law, bug):
    with pytest.raises(AssertionError):
        ASSERT[law](WRONG[law, bug])


@pytest.mark.parametrize("law", LAWS)
@pytest.mark.parametrize(("n", "m", "q"), SHAPES)
def test_shape_dtype_and_determinism(law, n, m, q):
    a, b, c = (draw(law, np.random.default_rng(seed), n, m, q) for seed in (0, 0, 1))
    assert a.shape == (n, m, q)
    assert a.dtype == np.float64
    assert np.array_equal(a, b)
    if n * m * q > 10:
        assert not np.array_equal(a, c)


@pytest.mark.parametrize("law", LAWS)
def test_the_generator_moves_on_and_nothing_global_does(law):
    before = np.random.get_state()[1].copy()
    rng = np.random.default_rng(0)
    first_draw, second = draw(law, rng, 9, 5, 2), draw(law, rng, 9, 5, 2)
    assert not np.array_equal(first_draw, second)
    assert np.array_equal(before, np.random.get_state()[1])


@pytest.mark.parametrize("m", [1, 2, 3, 10])
def test_norms_and_orthogonality_to_rounding(m):
    rng = np.random.default_rng(0)
    for law in ("rademacher", "sphere", "orthogonal", "onehot"):
        r = draw(law, rng, 50, m, m)
        assert np.abs((r * r).sum(axis=1) / m - 1).max() < 1e-14  # (m + 4) u and QR's, 40 u
    r = draw("orthogonal", rng, 50, m, m)
    assert np.abs(np.einsum("nkq,nlq->nkl", r, r) / m - np.eye(m)).max() < 1e-14  # exact at q = m


def test_shared_probes_are_one_set_seen_by_every_example():
    rng = np.random.default_rng(0)
    R = columns(4, 3, None, None, 2, True, rng)
    assert R.shape == (4, 3, 2)
    assert (R[:1] == R).all()
    R = columns(4, 3, None, None, 2, False, rng)
    assert len(np.unique(R[:, 0, 0])) == 4
    given = np.ones((1, 3, 4))
    assert np.array_equal(columns(4, 3, given, None, None, True, None), np.full((4, 3, 4), 0.5))


def test_one_gaussian_probe_over_the_root_of_their_number():
    """What is not said: the law and the number. R = r/√q, exactly so for q = 1 and q = 4."""
    rng = np.random.default_rng
    assert np.array_equal(
        columns(2, 5, None, None, None, False, rng(0)), draw("gaussian", rng(0), 2, 5)
    )
    for q, root in ((1, 1.0), (2, np.sqrt(2)), (3, np.sqrt(3)), (4, 2.0)):
        r = draw("sphere", rng(0), 2, 5, q)
        assert np.array_equal(columns(2, 5, None, "sphere", q, False, rng(0)), r / root)
        assert np.array_equal(columns(2, 5, r, None, None, False, None), r / root)
    single = np.ones((2, 5, 2), np.float32)
    assert columns(2, 5, single, None, None, False, None).dtype == np.float32


@pytest.mark.parametrize("num_probes", [0, -1, True, 1.5, None])
def test_number_of_probes(num_probes):
    with pytest.raises(ValueError, match="whole number"):
        draw("gaussian", np.random.default_rng(0), 1, 3, num_probes)


@pytest.mark.parametrize("rng", [None, 0, np.random.RandomState(0), np.random])
def test_randomness_is_an_argument(rng):
    with pytest.raises(TypeError, match="default_rng"):
        draw("gaussian", rng, 1, 3)


def test_bad_arguments_say_what_to_do():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="expected probe to be one of gaussian"):
        draw("normal", rng, 1, 3)
    for n, m, named in ((0, 3, "n"), (1, 2.5, "m")):
        with pytest.raises(ValueError, match=f"expected {named} to be a whole number"):
            draw("gaussian", rng, n, m)
    for sizes in ((2, 3, 10**30), (10**12, 3, 1), (1, 2**41, 1)):
        with pytest.raises(ValueError, match="expected at most 2⁴⁰ numbers, got probes with"):
            draw("gaussian", rng, *sizes)
    with pytest.raises(ValueError, match="num_probes <= 3"):
        draw("orthogonal", rng, 1, 3, 4)
    for q in (3, 4):
        with pytest.raises(ValueError, match="use frobreg"):
            columns(2, 3, None, "gaussian", q, False, rng)
    for shape, hint in (((1, 3, 1), "shared_probe=True"), ((2, 3), "None"), ((2, 4, 1), "got")):
        with pytest.raises(ValueError, match=hint):
            columns(2, 3, np.ones(shape), None, None, False, None)
    with pytest.raises(TypeError, match="astype"):
        columns(2, 3, np.ones((2, 3, 1), int), None, None, False, None)
    with pytest.raises(ValueError, match="finite"):
        columns(2, 3, np.full((2, 3, 1), np.nan), None, None, False, None)
