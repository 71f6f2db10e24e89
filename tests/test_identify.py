"""Polarisation: the estimators are quadratic forms, and the matrix is the one claimed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradreg_ref.doubleback import doubleback
from gradreg_ref.identify import QuadraticForm, identify
from gradreg_ref.jacreg import jacreg
from gradreg_ref.losses import softmax, softmax_jacobian
from gradreg_ref.moments import gram
from gradreg_ref.spectreg import spectreg

quarters = st.integers(-8, 8).map(lambda k: k / 4)


def dyadic(*shape):
    """Entries k/4, all drawn: sums, products and halves of them are exact in float64."""
    return arrays(float, shape, elements=quarters, fill=st.nothing())


@st.composite
def jacobians(draw):
    """J[n, k, i] with three different lengths."""
    return draw(dyadic(*draw(st.sampled_from([(1, 2, 3), (2, 3, 1), (3, 4, 2), (2, 1, 3)]))))


def estimator(J, side="output"):
    return lambda r: spectreg(J, probes=probes(r, J), side=side, reduction="none")


def probes(r, J):
    """The same probe for every example."""
    return np.broadcast_to(r[None, :, None], (len(J), len(r), 1))


def at_each(f):
    """f of one probe as a function of many."""
    return lambda points: np.array([f(r) for r in points])


def assert_form(f, m, A):
    form = identify(at_each(f), m)
    assert not form.constant.any()
    assert not form.linear.any()
    assert np.array_equal(form.A, A)
    # A further point, of both signs: f is quadratic, and not only where it was identified.
    r = np.array([0.5, -1, 1.5, -2])[:m]
    assert np.array_equal(form(r), f(r))


def unquadratic(J):
    return lambda r: np.sqrt(estimator(J)(r))


@given(jacobians(), st.sampled_from(["output", "input"]))
def test_spectreg_is_its_gram_matrix_entry_by_entry(J, side):
    A = gram(J, side)
    assert_form(estimator(J, side), A.shape[1], A)  # dyadic: ==


@given(st.data(), st.integers(1, 4))
def test_any_quadratic_polynomial_is_recovered_exactly(data, m):
    B = data.draw(dyadic(2, m, m))
    form = QuadraticForm(data.draw(dyadic(2)), data.draw(dyadic(2, m)), B + B.transpose(0, 2, 1))
    found = identify(at_each(form), m)
    assert np.array_equal(found.constant, form.constant)
    assert np.array_equal(found.linear, form.linear)
    assert np.array_equal(found.A, form.A)
    r = data.draw(dyadic(m))
    assert np.array_equal(found(r), form(r))


@pytest.mark.parametrize("m", [1, 2, 3, 5])
def test_number_of_probes(m):
    calls = []
    identify(lambda points: calls.append(points) or np.zeros(len(points)), m)
    (points,) = calls
    assert len(np.unique(points, axis=0)) == len(points) == (m + 1) * (m + 2) // 2


@given(st.data(), st.integers(2, 4))
def test_projected_jacreg_is_S_J_Jt_S(data, m):
    J, z = data.draw(dyadic(2, m, 5)), data.draw(dyadic(2, m))
    f = identify(at_each(lambda r: jacreg(J, z, probes=probes(r, J), reduction="none")), m)
    S_J = np.einsum("nkl,nli->nki", softmax_jacobian(z), J)
    # |S r|₁ <= 1 and |J| <= 2 give f <= 20 at the points used; 1e-12 is over 200 roundings of 20.
    assert np.abs(f.A - gram(S_J)).max() <= 1e-12
    assert np.abs(f.linear).max() <= 1e-12
    # S 1 = 0: a probe that shifts all logits sees nothing.
    assert np.abs(f(np.ones(m))).max() <= 1e-12


@given(st.data(), st.integers(2, 4))
def test_doubleback_is_the_form_at_p_minus_y(data, m):
    J, z, c = data.draw(dyadic(1, m, 3)), data.draw(dyadic(1, m)), data.draw(st.integers(0, m - 1))
    R = (softmax(z) - np.eye(m)[[c]])[0]
    # |R|₁ <= 2 and |J| <= 2: values up to 48, as above.
    assert (
        np.abs(identify(at_each(estimator(J)), m)(R) - doubleback(J, z, np.array([c]))).max()
        <= 1e-12
    )


BUGS = {
    "½": lambda J: lambda r: estimator(J)(r) / 2,
    "mean over classes": lambda J: lambda r: estimator(J)(r) / J.shape[1],
    "a constant": lambda J: lambda r: estimator(J)(r) + 2.0**-30,
    "a linear part": lambda J: lambda r: estimator(J)(r) + 2.0**-30 * r[0],
    "norm, not its square": unquadratic,
    "the probe normalised": lambda J: lambda r: estimator(J)(r / max(np.linalg.norm(r), 1)),
    "a class dropped": lambda J: lambda r: estimator(J)(r * (np.arange(len(r)) > 0)),
    "|r|": lambda J: lambda r: estimator(J)(np.abs(r)),
    "log-softmax for logits": lambda J: estimator(J - J.mean(axis=1, keepdims=True)),
    "the other side": lambda J: estimator(J, "input"),
    "one example for another": lambda J: lambda r: estimator(J)(r)[::-1],
    "summed over the batch": lambda J: lambda r: estimator(J)(r).sum(keepdims=True),
}


@pytest.mark.parametrize("bug", BUGS)
def test_a_wrong_estimator_is_noticed(bug):
    J = np.array([[[1.0, 2.0, 0.5], [0.25, 4.0, 1.0]], [[1.0, 0.0, 1.0], [3.0, 1.0, 0.75]]])
    assert_form(estimator(J), 2, gram(J))
    with pytest.raises((AssertionError, ValueError)):
        assert_form(BUGS[bug](J), 2, gram(J))


def test_a_cubic_term_shows_at_a_further_point():
    def f(r):
        return r @ r + r[0] ** 3 - r[0]  # agrees with r·r at 0, ±e_i and e_i + e_j

    form = identify(at_each(f), 3)
    assert form.A.tolist() == np.eye(3).tolist()
    r = np.array([0.5, 1.0, 2.0])
    assert form(r) != f(r)


def test_bad_arguments_say_what_to_do():
    with pytest.raises(ValueError, match="expected m"):
        identify(lambda r: 0.0, 0)
