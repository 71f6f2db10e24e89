"""Rounding-error bounds: they hold for arithmetic of that precision, and are not vacuous."""

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from strategies import example as examples

from gradreg_ref.complex_step import directional_derivative, gradient
from gradreg_ref.loopback import FORMULAS, evaluate
from gradreg_ref.networks import Activation, Linear, MaxPool2d, Network
from gradreg_ref.rounding import UNIT_ROUNDOFF, Bounded, Undecided, slope_bound, value_bound
from gradreg_ref.verify import Broken, Target, bundled
from gradreg_ref.verify.comparison import direction_for
from gradreg_ref.verify.formulas import variants
from gradreg_ref.verify.precision import within_rounding

U = UNIT_ROUNDOFF["float32"]


def formula(penalty, e, options):
    y = e.targets if "loss" in options else e.y
    return lambda net, x: evaluate(FORMULAS[penalty], net, x, y, reduction="sum", **options)


def in_float32(f, e):
    """The reference in plain NumPy float32."""
    theta = e.network.parameters().astype(np.float32)
    return float(f(e.network.with_parameters(theta), e.x.astype(np.float32)))


@given(e=examples())
def test_float32_stays_within_the_bound(e):
    for penalty, options, _ in variants(e):
        f = formula(penalty, e, options)
        try:
            value, bound = value_bound(f, e.network, e.x, U)
        except Undecided:
            continue
        assert abs(in_float32(f, e) - float(value)) <= bound, penalty
        np.testing.assert_allclose(value, f(e.network, e.x), rtol=1e-12, atol=1e-14)


def test_the_bound_is_not_vacuous():
    """Largest bound relative to the value on the bundled examples: digits are left in float32."""
    relative = []
    for e in bundled():
        f = formula("frobreg", e, {})
        try:
            value, bound = value_bound(f, e.network, e.x, U)
        except Undecided:
            continue
        relative.append(float(bound / value))
    assert len(relative) >= 10
    assert max(relative) < 1e-3
    assert np.median(relative) < 3e-5


@pytest.mark.parametrize("subscripts", ["ki,li->kl", "k,k->", "ki->i"])
def test_einsum_bound_holds_against_exact_arithmetic(subscripts):
    """Fractions are exact: float32 products and sums of them must lie within the radius."""
    rng = np.random.default_rng(0)
    inputs = subscripts.split("->")[0].split(",")
    arrays = [rng.standard_normal((3, 50)[-len(axes) :]) for axes in inputs]
    bounded = np.einsum(subscripts, *(Bounded(a, U * abs(a), U) for a in arrays))
    exact = np.einsum(subscripts, *(np.vectorize(Fraction, otypes=[object])(a) for a in arrays))
    single = np.einsum(subscripts, *(a.astype(np.float32) for a in arrays))
    distance = np.abs(single.astype(float) - np.asarray(exact, dtype=float))
    assert (distance <= bounded.radius).all()
    magnitude = np.einsum(subscripts, *map(np.abs, arrays))
    assert (bounded.radius <= 1.01 * (50 + len(arrays)) * U * magnitude).all()


def test_every_operation_widens_by_what_it_must():
    a = Bounded(np.array([2.0]), np.array([0.1]), U)
    for operation, low, high in [
        (lambda z: z + 1, 2.9, 3.1),
        (lambda z: 1 - z, -1.1, -0.9),
        (lambda z: z * z, 1.9**2, 2.1**2),
        (lambda z: 1 / z, 1 / 2.1, 1 / 1.9),
        (np.exp, np.exp(1.9), np.exp(2.1)),
        (np.log, np.log(1.9), np.log(2.1)),
        (np.tanh, np.tanh(1.9), np.tanh(2.1)),
    ]:
        b = operation(a)
        assert b.value - b.radius <= low
        assert high <= b.value + b.radius
        assert b.radius < 1.2 * (high - low)


def test_an_operation_without_a_rule_is_refused():
    with pytest.raises(TypeError):
        np.sin(Bounded(np.ones(1), np.zeros(1), U))


@given(e=examples(exact=False))
def test_slope_is_the_complex_step(e):
    f = formula("frobreg", e, {})
    direction = direction_for(e)
    slope, bound = slope_bound(f, e.network, e.x, direction, U, np.random.default_rng(0))
    exact = directional_derivative(lambda net: f(net, e.x), e.network, direction)
    np.testing.assert_allclose(slope, exact, rtol=1e-12, atol=1e-12)
    assert bound <= 1e-3 * (1 + abs(slope) + np.abs(direction).sum() * float(f(e.network, e.x)))


def test_a_kink_within_rounding_is_undecided():
    x = np.array([[1 / 3, 1.0]])
    net = Network((Linear(np.array([[3.0, -1.0]])), Activation("relu")))
    with pytest.raises(Undecided, match="further from the kink"):
        value_bound(lambda net, x: net.jacobian(x).sum(), net, x, U)


def test_a_tie_within_rounding_is_undecided():
    x = np.array([[[[1 / 3, 1 / 3 + 1e-9], [0.0, 0.0]]]])
    with pytest.raises(Undecided, match="maximum further from the next"):
        value_bound(lambda net, x: net.forward(x).sum(), Network((MaxPool2d(2, 2),)), x, U)
    apart = np.array([[[[1.0, 2.0], [0.0, 0.0]]]])
    value, _ = value_bound(
        lambda net, x: net.forward(x).sum(), Network((MaxPool2d(2, 2),)), apart, U
    )
    assert value == 2.0


class Off:
    """The reference in float64, off by a relative error in value or gradient."""

    name = "off"

    def __init__(self, value=0.0, gradient=0.0):
        self.errors = value, gradient

    def value(self, penalty, net, x, y, *, dtype, device, **options):
        return evaluate(FORMULAS[penalty], net, x, y, **options) * (1 + self.errors[0])

    def gradient(self, penalty, net, x, y, *, dtype, device, **options):
        g = gradient(lambda n: evaluate(FORMULAS[penalty], n, x, y, **options), net)
        return g * (1 + self.errors[1])


@pytest.mark.parametrize(
    ("off", "message"),
    [
        (Off(value=1e-3), "frobreg in float32: expected"),
        (Off(gradient=1e-3), "gradient of frobreg in float32: expected"),
    ],
)
def test_an_error_beyond_float32_is_seen(off, message):
    e = next(iter(bundled()))
    within_rounding(Target(Off(), dtype="float32"), "frobreg", e)
    with pytest.raises(Broken, match=message):
        within_rounding(Target(off, dtype="float32"), "frobreg", e)
