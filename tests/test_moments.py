"""Mean and variance in closed form against the finite, exact sums of cubature."""

from collections.abc import Callable
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from several_probes import orthogonal_frames, product

from gradreg_ref import moments
from gradreg_ref.complex_step import directional_derivative, gradient
from gradreg_ref.cubature import (
    Rule,
    all_signs,
    expectation,
    gaussian_axes,
    mean_and_variance,
    onehot_classes,
    sphere_axes,
    sphere_degree_5,
    stroud_5_2,
)
from gradreg_ref.frobreg import frobreg
from gradreg_ref.jacreg import jacreg
from gradreg_ref.losses import softmax_jacobian
from gradreg_ref.moments import batch_mean_variance, gram, variance
from gradreg_ref.networks import Activation, Linear, Network
from gradreg_ref.spectreg import spectreg

SIDES = ["output", "input"]
DEGREE_3 = [gaussian_axes, sphere_axes]
OF_LAW = {
    "gaussian": stroud_5_2,
    "rademacher": all_signs,
    "sphere": sphere_degree_5,
    "onehot": onehot_classes,
}
quarters = st.integers(-8, 8).map(lambda k: k / 4)


def dyadic(*shape):
    return arrays(float, shape, elements=quarters, fill=st.nothing())


@st.composite
def jacobians(draw, n=1):
    """J[n, k, i], k and i different and at least 3 on one side."""
    return draw(dyadic(n, *draw(st.sampled_from([(2, 3), (3, 2), (4, 3), (3, 4), (1, 3)]))))


def length(J, side):
    return J.shape[1 if side == "output" else 2]


def penalty(J: np.ndarray, side: str, q: int = 1, **options: object) -> Callable:
    """Per-example values as a function of the probes (q · m,) of one example, all alike."""

    def f(r):
        R = np.broadcast_to(r.reshape(q, -1).T, (len(J), r.size // q, q))
        return spectreg(J, probes=R, side=side, reduction="none")

    return f


def assert_moments(
    f: Callable,
    rule: Rule,
    mean: np.ndarray,
    var: np.ndarray | None,
    scale: np.ndarray | None = None,
) -> None:
    """f, a sum of at most 48 products, is right to 60 u of itself, and Σ |w| f² < 50 (E f)².

    So the variance is right to 120 · 50 u < 1e-12 of (E f)², the mean to less. Where f itself loses
    figures by cancellation, `scale` is what they are lost from.
    """
    found_mean, found_var = mean_and_variance(f, rule)
    scale = np.abs(mean if scale is None else scale)
    assert (np.abs(found_mean - mean) <= 1e-12 * scale).all()
    if var is not None:
        assert (np.abs(found_var - var) <= 1e-12 * scale * scale).all()


@pytest.mark.parametrize("rule_of", [*DEGREE_3, *OF_LAW.values()])
@given(J=jacobians(), side=st.sampled_from(SIDES))
def test_spectreg_has_the_mean_and_variance_of_its_law(rule_of, J, side):
    rule, A = rule_of(length(J, side)), gram(J, side)
    var = variance(A, rule.law) if rule.degree >= 5 else None
    assert_moments(penalty(J, side), rule, frobreg(J), var)
    assert_moments(penalty(J, side), rule, moments.mean(A), var)


@given(J=jacobians())
def test_rademacher_to_the_last_bit(J):
    """Dyadic J and weights 1/2^m: no operation rounds."""
    mean, var = mean_and_variance(penalty(J, "output"), all_signs(J.shape[1]))
    assert np.array_equal(mean, moments.mean(gram(J)))
    assert np.array_equal(var, variance(gram(J), "rademacher"))


@pytest.mark.parametrize("law", OF_LAW)
@given(J=jacobians(), side=st.sampled_from(SIDES))
def test_two_independent_probes_halve_the_variance(law, J, side):
    rule = product(OF_LAW[law](min(length(J, side), 3)), 2)
    J = J[:, :3] if side == "output" else J[:, :, :3]
    A = gram(J, side)
    assert_moments(penalty(J, side, q=2), rule, moments.mean(A), variance(A, law, 2))
    assert np.array_equal(variance(A, law, 4), variance(A, law) / 4)


@pytest.mark.parametrize(("m", "q"), [(2, 1), (2, 2), (3, 1), (3, 2), (3, 3)])
@given(data=st.data())
def test_orthogonal_probes(data, m, q):
    J = data.draw(dyadic(1, m, 5 - m))
    frames = orthogonal_frames(m, q).transpose(0, 2, 1).reshape(-1, q * m)
    rule = Rule(frames, np.full(len(frames), 1 / len(frames)), "orthogonal", 4)
    A = gram(J)
    assert_moments(penalty(J, "output", q), rule, frobreg(J), variance(A, "orthogonal", q))
    if q == 1:
        assert variance(A, "orthogonal") == pytest.approx(variance(A, "sphere"), rel=1e-14)


@pytest.mark.parametrize("law", OF_LAW)
@given(data=st.data())
def test_batch_mean(law, data):
    """B = 2 examples: one rule on R^(B m) for independent probes, one on R^m for a shared probe."""
    J = data.draw(dyadic(2, 2, 3))
    A, rule = gram(J), OF_LAW[law](2)

    def independent(r):
        return spectreg(J, probes=r.reshape(2, 2, 1))

    def shared(r):
        return spectreg(J, probes=r[None, :, None], shared_probe=True)

    var, shared_var = batch_mean_variance(A, law), batch_mean_variance(A, law, shared_probe=True)
    assert_moments(independent, product(rule, 2), frobreg(J), var)
    assert_moments(shared, rule, frobreg(J), shared_var)
    if law == "gaussian":
        assert_moments(independent, stroud_5_2(4), frobreg(J), var)
        # ‖Σ A_b‖² has the cross terms 2⟨A_b, A_c⟩ = 2‖J_bᵀJ_c‖² >= 0 on top.
        assert shared_var >= var
    assert batch_mean_variance(A, law, 4) == var / 4


@pytest.mark.parametrize("law", OF_LAW)
@given(data=st.data(), m=st.sampled_from([2, 3, 4]))
def test_projected_jacreg_is_unbiased_for_jacreg(law, data, m):
    J, z = data.draw(dyadic(1, m, 5)), data.draw(dyadic(1, m))
    A = gram(np.einsum("nkl,nli->nki", softmax_jacobian(z), J))

    def f(r):
        return jacreg(J, z, probes=r[None, :, None], reduction="none")

    # S 1 = 0 up to rounding, so a J of equal rows leaves only rounding errors of J itself.
    assert_moments(f, OF_LAW[law](m), jacreg(J, z), variance(A, law), scale=frobreg(J))


# 3 inputs, 2 hidden, 3 logits, smooth; the numbers have no meaning.
numbers = np.random.default_rng(0).standard_normal(40)
X = numbers[:3].reshape(1, 3)
NETWORK = Network(
    (
        Linear(numbers[3:9].reshape(2, 3), numbers[9:11]),
        Activation("tanh"),
        Linear(numbers[11:17].reshape(3, 2), numbers[17:20]),
    )
)


def training_gradient(r: np.ndarray) -> np.ndarray:
    return gradient(lambda net: spectreg(net.jacobian(X), probes=r[None, :, None]), NETWORK)


def assert_gradient_moments(f: Callable, rule: Rule) -> None:
    """f is tr(r rᵀ ∂A): the mean is ∂ tr A, the variance 2 ‖∂A‖²_F, parameter by parameter."""
    mean, var = mean_and_variance(f, rule)
    exact = gradient(lambda net: frobreg(net.jacobian(X)), NETWORK)
    columns = np.eye(exact.size)
    A = [directional_derivative(lambda net: gram(net.jacobian(X)), NETWORK, e) for e in columns]
    # Complex step: each component to about 1e-14 of the largest; a rule adds at most 27 of them.
    assert np.abs(mean - exact).max() <= 1e-12 * np.abs(exact).max()
    expected = variance(np.array(A)[:, 0], "gaussian")
    assert np.abs(var - expected).max() <= 1e-12 * expected.max()


def test_the_training_gradient_is_unbiased():
    exact = gradient(lambda net: frobreg(net.jacobian(X)), NETWORK)
    total = sum(training_gradient(e) for e in np.eye(3))
    assert np.abs(total - exact).max() <= 1e-13 * np.abs(exact).max()  # a sum of three
    for rule_of in DEGREE_3:
        found = expectation(training_gradient, rule_of(3))
        assert np.abs(found - exact).max() <= 1e-13 * np.abs(exact).max()


def test_the_variance_of_the_training_gradient():
    assert_gradient_moments(training_gradient, stroud_5_2(3))


def detached(r: np.ndarray) -> np.ndarray:
    """∂(v·c) with c a constant copy of v = Jᵀr: half of the true gradient."""
    v = np.einsum("ki,k->i", NETWORK.jacobian(X)[0], r)
    return gradient(lambda net: np.einsum("ki,k,i->", net.jacobian(X)[0], r, v), NETWORK)


GRADIENT_BUGS = {
    "½": lambda r: training_gradient(r) / 2,
    "v · v.detach()": detached,
    "no gradient": lambda r: 0 * training_gradient(r),
    "last layer only": lambda r: training_gradient(r) * (np.arange(17) >= 8),
    "the mean for the draw": lambda r: training_gradient(np.ones(3)) + 0 * r[0],
    "normalised probe": lambda r: training_gradient(r / max(np.linalg.norm(r), 1)),
}


@pytest.mark.parametrize("bug", GRADIENT_BUGS)
def test_a_wrong_gradient_is_noticed(bug):
    with pytest.raises(AssertionError):
        assert_gradient_moments(GRADIENT_BUGS[bug], stroud_5_2(3))


J0 = np.array([[[1.0, 2.0, 0.5, 0.0], [0.25, 4.0, 1.0, 1.0], [3.0, 1.0, 2.0, 0.75]]])
A0 = gram(J0)
WRONG_VARIANCE = {
    "gaussian, standard deviation": ("gaussian", np.sqrt(2 * (A0 * A0).sum())),
    "gaussian, 3‖A‖²": ("gaussian", 3 * (A0 * A0).sum()),
    "gaussian, 2 (tr A)²": ("gaussian", 2 * np.trace(A0[0]) ** 2),
    "gaussian, of the trace-free part": ("gaussian", variance(A0, "sphere") * 5 / 3),
    "gaussian for rademacher": ("rademacher", variance(A0, "gaussian")),
    "rademacher, each pair once": ("rademacher", variance(A0, "rademacher") / 2),
    "rademacher for gaussian": ("gaussian", variance(A0, "rademacher")),
    "sphere, without m/(m+2)": ("sphere", variance(A0, "sphere") * 5 / 3),
    "sphere, radius 1": ("sphere", variance(A0, "sphere") / 9),
    "the input side's": ("rademacher", variance(gram(J0, "input"), "rademacher")),
    "onehot, E f²": ("onehot", variance(A0, "onehot") + moments.mean(A0) ** 2),
}


@pytest.mark.parametrize("bug", WRONG_VARIANCE)
def test_a_wrong_variance_is_noticed(bug):
    law, wrong = WRONG_VARIANCE[bug]
    rule = OF_LAW[law](3)
    assert_moments(penalty(J0, "output"), rule, frobreg(J0), variance(A0, law))
    with pytest.raises(AssertionError):
        assert_moments(penalty(J0, "output"), rule, frobreg(J0), wrong)


f0 = penalty(J0, "output")
WRONG_ESTIMATOR = {
    "½": lambda r: f0(r) / 2,
    "1/m": lambda r: f0(r) / 3,
    "scaled by 1 + 1e-9": lambda r: f0(r) * (1 + 1e-9),
    "norm, not its square": lambda r: np.sqrt(f0(r)),
    "sphere of radius 1": lambda r: f0(r / np.sqrt(3)),
    "{0, 1} for signs": lambda r: f0((r + 1) / 2),
    "a class dropped": lambda r: f0(r * [0, 1, 1]),
    "one sign for all classes": lambda r: f0(r[[0, 0, 0]]),
}


@pytest.mark.parametrize("bug", WRONG_ESTIMATOR)
@pytest.mark.parametrize("law", OF_LAW)
def test_a_biased_estimator_is_noticed(law, bug):
    with pytest.raises(AssertionError):
        assert_moments(WRONG_ESTIMATOR[bug], OF_LAW[law](3), frobreg(J0), None)


def test_a_reused_probe_is_noticed():
    """One probe for both of q = 2, for both of B = 2 examples, and two of them orthogonal."""
    rule = product(stroud_5_2(3), 2)
    both = penalty(J0, "output", q=2)
    assert_moments(both, rule, frobreg(J0), variance(A0, "gaussian", 2))
    with pytest.raises(AssertionError):
        assert_moments(
            lambda r: both(np.tile(r[:3], 2)), rule, frobreg(J0), variance(A0, "gaussian", 2)
        )
    with pytest.raises(AssertionError):
        assert_moments(both, rule, frobreg(J0), variance(A0, "orthogonal", 2))
    B = np.concatenate([A0, 2 * A0])
    assert batch_mean_variance(B, "gaussian") != batch_mean_variance(B, "gaussian", 1, True)


def test_sharing_can_lower_the_variance_but_for_the_gaussian():
    """A_1 + A_2 = 2 I: what the two examples' noise has in common cancels."""
    A = np.array([[[1.0, 1.0], [1.0, 1.0]], [[1.0, -1.0], [-1.0, 1.0]]])
    for law in ("rademacher", "sphere"):
        assert batch_mean_variance(A, law) > batch_mean_variance(A, law, shared_probe=True) == 0
    A = np.array([[[1.0, 0.0], [0.0, 0.0]], [[0.0, 0.0], [0.0, 1.0]]])
    assert batch_mean_variance(A, "onehot") > batch_mean_variance(A, "onehot", 1, True) == 0


@pytest.mark.parametrize("n", [1, 2, 5])
def test_the_variance_of_a_fraction_by_all_subsets(n):
    """The mean of k of n expected values, and the noise of each estimate on top."""
    rng = np.random.default_rng(n)
    P, noise = rng.standard_normal(n), rng.random(n)
    for k in range(1, n + 1):
        subsets = [list(s) for s in combinations(range(n), k)]
        exact = np.var([P[s].mean() for s in subsets])
        assert moments.fraction_variance(P, k) == pytest.approx(exact, rel=1e-12, abs=1e-15)
        own = np.mean([noise[s].sum() / k**2 for s in subsets])
        assert moments.fraction_variance(P, k, noise) == pytest.approx(exact + own, rel=1e-12)


def test_values_by_hand():
    eye = np.eye(3)
    assert variance(eye, "gaussian") == 6
    for law in ("rademacher", "sphere", "orthogonal", "onehot"):
        assert variance(eye, law) == 0  # ‖r‖² = m: A = I is measured without noise
    assert variance(eye[:1, :1], "orthogonal") == 0
    assert variance(A0, "orthogonal", 3) == 0
    lopsided = np.array([[1.0, 2.0], [0.0, 1.0]])  # rᵀA r sees the symmetric part only
    assert variance(lopsided, "gaussian") == variance((lopsided + lopsided.T) / 2, "gaussian") == 8
    assert variance(np.stack([eye, 2 * eye]), "gaussian").tolist() == [6, 24]


def test_the_two_sides_share_mean_and_gaussian_variance_only():
    for law, same in (("gaussian", True), ("rademacher", False), ("sphere", False)):
        output, inputs = (variance(gram(J0, side), law) for side in ("output", "input"))
        assert (output == pytest.approx(inputs, rel=1e-13)) is same


def test_bad_arguments_say_what_to_do():
    with pytest.raises(ValueError, match="expected A with shape"):
        variance(np.ones((2, 3)), "gaussian")
    with pytest.raises(TypeError, match="astype"):
        moments.mean(np.eye(2, dtype=int))
    with pytest.raises(ValueError, match="expected probe"):
        variance(np.eye(2), "normal")
    with pytest.raises(ValueError, match="num_probes <= 2"):
        variance(np.eye(2), "orthogonal", 3)
    with pytest.raises(ValueError, match="num_probes"):
        variance(np.eye(2), "gaussian", 0)
    with pytest.raises(ValueError, match="expected side"):
        gram(J0, "left")
    with pytest.raises(ValueError, match=r"\(n, k, l\)"):
        batch_mean_variance(np.eye(2), "gaussian")
