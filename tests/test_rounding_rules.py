"""Every rounding rule by itself, on numbers that can be checked by hand (u = 1/256)."""

import numpy as np
import pytest

from gradreg_verify.rounding.bounded import Bounded
from gradreg_verify.rounding.perturbed import Perturbed
from gradreg_verify.rounding.rules import greater, nearest, terms, where

U = 2.0**-8


def number(value, radius=0.0, magnitude=None):
    return Bounded(
        np.array([value]), np.array([radius]), U, None if magnitude is None else [magnitude]
    )


def parts(a):
    return float(a.value[0]), float(a.radius[0]), float(a.magnitude[0])


def test_negation_is_exact_and_keeps_what_terms_add_up_to():
    assert parts(-number(3.0, 0.5, 7.0)) == (-3.0, 0.5, 7.0)


def test_a_product_multiplies_magnitudes_and_is_rounded_once():
    value, radius, magnitude = parts(number(3.0, 0.0, 4.0) * number(5.0, 0.0, 6.0))
    assert (value, magnitude) == (15.0, 24.0)
    assert radius == pytest.approx(24 * U, rel=1e-12)


@pytest.mark.parametrize("two", [2.0, -0.25])
def test_a_power_of_two_multiplies_and_divides_without_rounding(two):
    assert parts(number(3.0) * number(two))[1] == 0
    assert parts(number(two) * number(3.0))[1] == 0
    assert parts(number(3.0) / number(two))[1] == 0


def test_a_quotient_divides_magnitudes_and_is_rounded_once():
    value, radius, magnitude = parts(number(3.0, 0.0, 6.0) / number(5.0))
    assert (value, magnitude) == (0.6, 1.2)
    assert radius == pytest.approx(1.2 * U, rel=1e-12)


def test_a_contraction_of_one_operand():
    trace = np.einsum(
        "nkk->n", Bounded(np.array([[[1.0, 9.0], [9.0, 2.0]]]), np.zeros((1, 2, 2)), U)
    )
    assert trace.value.tolist() == [3.0]
    assert trace.u == U


def test_the_terms_of_a_sum_are_counted_along_the_first_of_equal_axes():
    row = np.array([[1.0, 1.0], [0.0, 0.0]])
    assert terms("kk->", [row]) == 1
    assert terms("kl->", [row]) == 4
    assert terms("kl->k", [row]) == 2


@pytest.mark.parametrize(
    ("a", "b", "decided"),
    [
        (number(1.0, 0.25), number(1.5, 0.25), False),
        (number(1.0, 0.25), number(1.75, 0.25), True),
        (number(-1.0, 0.25), number(1.0, 0.25), True),
        (number(1.0), number(1.0), True),
    ],
)
def test_a_comparison_is_undecided_where_radii_touch(a, b, decided):
    c = greater(a, b)
    assert c.value[0] == (a.value[0] > b.value[0])
    assert c.radius[0] == (not decided)


@pytest.mark.parametrize(
    ("chosen", "undecided", "value", "radius"),
    [(True, 0, 1.0, 0.25), (False, 0, 2.0, 0.5), (True, 1, 1.0, 1.5), (False, 1, 2.0, 1.25)],
)
def test_a_choice_covers_the_other_branch_where_it_is_undecided(chosen, undecided, value, radius):
    condition = Bounded(np.array([chosen]), np.array([float(undecided)]), U)
    got = where(condition, number(1.0, 0.25), number(2.0, 0.5))
    assert parts(got)[:2] == (value, radius)


def test_the_point_nearest_to_zero():
    z, r = np.array([0.5, -0.5, 0.25, 3.0]), np.array([0.25, 0.25, 0.5, 1.0])
    assert nearest(z, r).tolist() == [0.25, 0.25, 0.0, 2.0]


@pytest.mark.parametrize("a", [Bounded(np.eye(2, 3), np.zeros((2, 3)), U)])
def test_maxima_and_axes(a):
    assert a.max(axis=1).shape == (2,)
    assert a.max(axis=1, keepdims=True).shape == (2, 1)
    assert a.max(axis=0).value.tolist() == [1.0, 1.0, 0.0]
    assert a.transpose(1, 0).shape == (3, 2)
    assert repr(a).startswith("Bounded(array(")


def test_the_argmax_of_perturbed_numbers_is_along_its_axis():
    a = Perturbed(np.array([[1.0, 2.0], [4.0, 3.0]]), U, np.random.default_rng(0))
    assert a.argmax(axis=1).tolist() == [1, 0]


def test_perturbed_sums_and_maxima_keep_their_axes():
    a = Perturbed(np.arange(6.0).reshape(2, 3), U, np.random.default_rng(0))
    for axis, keepdims, shape in ((0, False, (3,)), (1, True, (2, 1)), (1, False, (2,))):
        assert a.sum(axis=axis, keepdims=keepdims).shape == shape
        assert a.max(axis=axis, keepdims=keepdims).shape == shape
    assert a.sum(axis=1).shape == a.max(axis=1).shape == (2,)
    assert a.max(axis=1).value.tolist() == [2.0, 5.0]


def test_rounding_errors_are_independent_centred_and_below_u():
    """1 + uξ, ξ uniform on [−1, 1]: mean 0 and variance 1/3 to five standard errors."""
    n = 10_000
    a = Perturbed(np.ones(n), U, np.random.default_rng(0))
    xi = (a.perturbed(np.full(n, 1 + 1j)) - (1 + 1j)) / U
    for part in (xi.real, xi.imag):
        assert np.abs(part).max() <= 1 + 1e-12
        assert abs(part.mean()) < 5 * (1 / 3 / n) ** 0.5
        assert abs((part**2).mean() - 1 / 3) < 5 * (4 / 45 / n) ** 0.5
    assert abs((xi.real * xi.imag).mean()) < 5 / 3 / n**0.5


def test_duck_arrays_refuse_options_of_numpy_functions():
    with pytest.raises(TypeError, match="expected an operation with a rounding rule"):
        np.einsum("n->", number(1.0), optimize=True)


def test_the_shift_of_a_softmax_stays_bounded_in_the_same_format():
    assert Bounded(np.eye(2), np.zeros((2, 2)), U).max(axis=1).u == U


def test_a_maximum_is_sought_along_its_axis():
    a = Bounded(np.array([[1.0, 4.0], [2.0, 3.0], [0.0, 0.0]]), np.zeros((3, 2)), U)
    assert a.argmax(axis=0).tolist() == [1, 0]
    assert a[:2].argmax(axis=1).tolist() == [1, 1]


def test_every_partial_sum_is_perturbed():
    """A running mean was called wrong: its errors grow with the partial sums."""
    rng, n = np.random.default_rng(0), 400
    sums = [Perturbed(np.ones((1, n)), U, rng).sum(axis=1).value for _ in range(400)]
    expected = U * np.sqrt(np.sum(np.arange(1, n + 1) ** 2) / 3)  # ξ has variance 1/3
    assert np.std(sums) == pytest.approx(expected, rel=0.1)
    assert Perturbed(np.ones((2, 3)), 0.0, rng).sum().value == 6
    assert Perturbed(np.ones((2, 3)), 0.0, rng).sum(axis=0, keepdims=True).value.tolist() == [
        [2] * 3
    ]
