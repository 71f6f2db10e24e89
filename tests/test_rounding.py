"""Rounding-error bounds: they hold for arithmetic of that precision, and they are not vacuous."""

from dataclasses import replace
from fractions import Fraction
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import erf
from strategies import example as examples

from gradreg_ref import doubleback, frobreg, jacreg
from gradreg_ref.complex_step import gradient
from gradreg_ref.networks import (
    Activation,
    BatchNorm,
    Dropout,
    Linear,
    MaxPool2d,
    Network,
    Residual,
)
from gradreg_ref.penalties import evaluate
from gradreg_verify import Broken, Target, bundled
from gradreg_verify.claims.comparison import direction_for
from gradreg_verify.claims.modes import within_rounding
from gradreg_verify.examples import all_variants
from gradreg_verify.rounding import UNIT_ROUNDOFF, Undecided, slope_bound, value_bound
from gradreg_verify.rounding.bounded import Bounded
from gradreg_verify.rounding.bounds import evaluated
from gradreg_verify.rounding.perturbed import Perturbed

U = UNIT_ROUNDOFF["float32"]
FORMATS = sorted(set(UNIT_ROUNDOFF) - {"float64"})


class Simulated(Perturbed):
    """Arithmetic of unit roundoff u: every product and every addition of a sum is rounded.

    Sums run in the random order of `rng`, one term after another.
    """

    def perturbed(self, a):
        """The nearest number of the format."""
        fraction, exponent = np.frexp(np.asarray(a, dtype=float))
        return np.ldexp(np.rint(fraction / self.u), exponent) * self.u

    def computed(self, operation, *inputs):
        inputs = [self.perturbed(a) if isinstance(a, np.ndarray | float) else a for a in inputs]
        if operation is not np.einsum:
            return super().computed(operation, *inputs)
        subscripts, *operands = inputs
        terms, output = subscripts.split("->")
        summed = "".join(sorted(set(terms) - set(output) - {","}))
        values = [a.value if isinstance(a, Perturbed) else a for a in operands]
        products = self.perturbed(np.einsum(f"{terms}->{output}{summed}", *values))
        return self.moved(
            lambda _: self.added(products.reshape(*products.shape[: len(output)], -1))
        )

    def sum(self, axis=None, keepdims=False):
        a = self.value.reshape(-1) if axis is None else np.moveaxis(self.value, axis, -1)
        total = self.added(a)
        return self.moved(lambda _: np.expand_dims(total, axis) if keepdims else total)

    def added(self, a):
        """Sum along the last axis."""
        order = self.rng.permutation(a.shape[-1])
        total = a[..., order[0]]
        for j in order[1:]:
            total = self.perturbed(total + a[..., j])
        return total


def formula(penalty, e, options):
    y = e.targets if "loss" in options else e.y
    return lambda net, x: evaluate(penalty, net, x, y, reduction="sum", **options)


def in_format(f, e, u, seed):
    """The reference in arithmetic of that format, sums in a random order."""
    rng = np.random.default_rng(seed)
    store = Simulated(np.zeros(()), u, rng).perturbed
    return float(evaluated(f, e.network, e.x, lambda a: Simulated(store(a), u, rng)).value)


def in_numpy_float32(f, e):
    return float(evaluated(f, e.network, e.x, lambda a: a.astype(np.float32)))


def bounds(e, u):
    """Every penalty with its value and bound, but for those that rounding leaves undecided."""
    for penalty, options, _ in all_variants(e):
        f = formula(penalty, e, options)
        try:
            yield penalty, f, *map(float, value_bound(f, e.network, e.x, u))
        except Undecided:
            continue


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=15)
@given(e=examples(), seed=st.integers(0, 9))
def test_every_format_stays_within_the_bound(name, e, seed):
    u = UNIT_ROUNDOFF[name]
    for penalty, f, value, bound in bounds(e, u):
        np.testing.assert_allclose(value, f(e.network, e.x), rtol=1e-12, atol=1e-14)
        assert abs(in_format(f, e, u, seed) - value) <= bound, penalty


@given(e=examples())
def test_numpy_float32_stays_within_the_bound(e):
    for penalty, f, value, bound in bounds(e, U):
        assert abs(in_numpy_float32(f, e) - value) <= bound, penalty


def test_bound_is_not_vacuous():
    """Relative to the value, on the bundled examples in float32: a wrong rule shows as slack."""
    # Smooth ones: a dyadic sum can be exactly 0 at a kink, and the bound then covers both sides.
    # Not the steep one: where a softmax is saturated, values are zero.
    smooth = [e for e in bundled() if not e.exact and np.abs(e.z).max() <= 10]
    relative = [(p, bound / abs(v)) for e in smooth for p, _, v, bound in bounds(e, U)]
    assert len(relative) > 50
    assert max(r for p, r in relative if p == "frobreg") < 1e-4
    assert max(r for _, r in relative) < 2e-2  # jacreg, whose rows of S sum to zero
    assert np.median([r for _, r in relative]) < 1e-4


class Upward(Simulated):
    """Rounding up, to a format with one bit more: never off by more than u either."""

    def perturbed(self, a):
        fraction, exponent = np.frexp(np.asarray(a, dtype=float))
        return np.ldexp(np.ceil(fraction / (self.u / 2)), exponent) * (self.u / 2)


def test_a_fifth_of_the_bound_would_not_hold():
    """Where all terms are positive and all roundings upward, errors come near to the bound."""
    W = np.array([[0.3, 0.7], [1.1, 0.9], [0.6, 1.3]])
    net, x = Network((Linear(W), Linear(W.T))), np.array([[0.3, 0.9]])

    def f(net, x):
        return frobreg(net.jacobian(x))

    value, bound = value_bound(f, net, x, U)
    up = Upward(np.zeros(()), U, np.random.default_rng(0)).perturbed
    upward = evaluated(f, net, x, lambda a: Upward(up(a), U, np.random.default_rng(0)))
    assert 0.2 < (float(upward.value) - float(value)) / float(bound) <= 1


def rounded(a, u):
    """Fractions to the nearest number of the format, ties to even."""
    if a == 0:
        return a
    unit = Fraction(2) ** (int(np.floor(np.log2(abs(float(a))))) + 1) * Fraction(u)
    return round(a / unit) * unit


def matmul(a, b, u):
    """A product of matrices of fractions, every operation rounded, terms from the last on."""
    out = np.zeros((a.shape[0], b.shape[1]), dtype=object)
    for i, j in product(*map(range, out.shape)):
        total = Fraction(0)
        for k in reversed(range(a.shape[1])):
            total = rounded(total + rounded(a[i, k] * b[k, j], u), u)
        out[i, j] = total
    return out


fractions = np.vectorize(Fraction, otypes=[object])


@pytest.mark.parametrize("reverse", [False, True])
@given(seed=st.integers(0, 10**6))
def test_exact_arithmetic_in_either_order_of_matrices(reverse, seed):
    """‖W₃W₂W₁‖² in fractions, against the same rounded to bfloat16 after every operation."""
    u, rng = UNIT_ROUNDOFF["bfloat16"], np.random.default_rng(seed)
    W = [rng.integers(-999, 1000, shape) / 64 for shape in ((3, 4), (5, 3), (2, 5))]
    net = Network(tuple(Linear(w) for w in W))
    value, bound = value_bound(lambda net, x: frobreg(net.jacobian(x)), net, np.ones((1, 4)), u)
    first, second, third = (fractions(w) for w in W)
    exact = sum(third @ second @ first * (third @ second @ first), start=np.zeros(4)).sum()
    a, b, c = (
        np.vectorize(lambda w: rounded(w, u), otypes=[object])(w) for w in (first, second, third)
    )
    J = matmul(matmul(c, b, u), a, u) if reverse else matmul(c, matmul(b, a, u), u)
    computed = matmul(J.reshape(1, -1), J.reshape(-1, 1), u)[0, 0]
    assert abs(computed - exact) <= Fraction(float(bound))
    assert abs(exact - Fraction(float(value))) <= Fraction(1, 10**12) * exact


def test_matrices_in_reverse_order_stay_within_the_bound():
    """W₂W₁ = 0: forward order adds zeros, reverse order two columns of 20,000 numbers.

    The errors of those are more than |W₃| |W₂W₁| and the errors of storing W can explain.
    """
    n = 20_000
    w = np.full((n, 1), 1153433 / 2**20)  # one number throughout: its roundings lean one way
    W1, W2, W3 = np.array([[3.0], [-1.0]]), np.hstack([w, 3 * w]), np.ones((1, n))
    net = Network((Linear(W1), Linear(W2), Linear(W3)))
    value, bound = value_bound(lambda net, x: net.jacobian(x)[0, 0, 0], net, np.ones((1, 1)), U)
    sums = np.cumsum(W2.astype(np.float32), axis=0, dtype=np.float32)[-1]
    error = abs(float(3 * sums[0] - sums[1]))
    assert value == 0
    assert 8 * U * 6 * w.sum() < error <= bound


def test_every_array_of_a_network_is_rounded():
    """Also what is not trained: statistics, masks, and the body of a residual layer."""
    one, kinds = np.ones(2), []
    norm = BatchNorm(one, one, one, one)
    net = Network((Residual((Linear(np.eye(2), one), norm)), Dropout(one, 0.5)))

    def noted(a):
        kinds.append(a)
        return Bounded.stored(a, U)

    evaluated(lambda net, x: net.forward(x), net, np.ones((1, 2)), noted)
    assert len(kinds) == 2 + 4 + 1 + 1


def test_roundings_are_counted():
    """(1 + u)ᵗ − 1 with t: k of a sum of k products, k − 1 of a sum, 1 where one term is picked."""
    u = 0.125
    three = Bounded(np.full(5, 3.0), np.zeros(5), u)
    one, two = (three * np.eye(5)[0], three * (np.eye(5)[0] + np.eye(5)[1]))
    for computed, size, roundings in [
        (np.einsum("k,k->", three, three[::-1]), 45, 5),
        (np.einsum("k,k->", three, two), 18, 5),
        (np.einsum("k,k->", three, one), 9, 1),
        (np.einsum("k,k->", three, np.eye(5)[0]), 3, 0),
        (three.sum(), 15, 4),
        (three * 4, 12, 0),
        (three[::-1] - 3, 6, 1),
        ((three - 3)[::-1] * 4 * np.ones((1, 5)), 24, 1),
    ]:
        np.testing.assert_allclose(computed.radius, ((1 + u) ** roundings - 1) * size)
    assert ((three - 3)[::-1].magnitude == 6).all()
    assert Bounded(3.0, 1.0, u).rounded(1).radius == 1 + u * (3 + 1)


def test_radii_of_factors_multiply():
    a, b = (
        Bounded(np.array([2.0]), np.array([0.1]), 0),
        Bounded(np.array([3.0]), np.array([0.5]), 0),
    )
    for computed in (a * b, np.einsum("k,k->k", a, b), np.einsum("k,k->", b, a)):
        np.testing.assert_allclose(computed.value + computed.radius, 2.1 * 3.5)


def test_constants_are_rounded_too():
    """1/3 does not fit; 1/4 does."""
    one, third = Bounded.stored(1.0, U), np.array([1 / 3])
    assert (one * third).radius > 0
    assert (one * np.array([0.25])).radius == 0
    assert Bounded.stored(np.array([1 + 2.0**-23, 1 + 2.0**-24]), U).radius.tolist() == [
        0.0,
        U * (1 + 2.0**-24),
    ]


@pytest.mark.parametrize(
    ("operation", "low", "high"),
    [
        (lambda z: z + 1, 2.9, 3.1),
        (lambda z: 1 - z, -1.1, -0.9),
        (lambda z: z * z, 1.9**2, 2.1**2),
        (lambda z: 1 / z, 1 / 2.1, 1 / 1.9),
        (np.exp, np.exp(1.9), np.exp(2.1)),
        (np.log, np.log(1.9), np.log(2.1)),
        (np.sqrt, np.sqrt(1.9), np.sqrt(2.1)),
        (np.tanh, np.tanh(1.9), np.tanh(2.1)),
        (erf, erf(1.9), erf(2.1)),
    ],
)
def test_every_operation_widens_by_what_it_must(operation, low, high):
    b = operation(Bounded(np.array([2.0]), np.array([0.1]), U))
    assert b.value - b.radius <= low
    assert high <= b.value + b.radius
    assert b.radius < 1.2 * (high - low)


@pytest.mark.parametrize(
    "operation", [np.sin, lambda a: np.exp(a, where=a), lambda a: np.add.reduce(a), np.linalg.norm]
)
@pytest.mark.parametrize("carrier", [Bounded(np.ones(2), np.zeros(2), U)])
def test_an_operation_without_a_rule_is_refused(carrier, operation):
    with pytest.raises(TypeError, match="rounding rule"):
        operation(carrier)


def test_a_kink_within_rounding_covers_both_branches():
    """At 1/3 · 3 − 1 the ReLU's slope is 0 or 1; at 0, where nothing is rounded, 0."""
    relu = Network((Linear(np.array([[3.0, -1.0]])), Activation("relu")))

    def slope(net, x):
        return net.jacobian(x)[0, 0, 0]

    value, bound = value_bound(slope, relu, np.array([[1 / 3, 1.0]]), U)
    assert value in (0.0, 3.0)
    assert 3.0 <= bound <= 3.0 + 1e-5
    value, bound = value_bound(slope, relu, np.zeros((1, 2)), U)
    assert value == bound == 0.0


def test_softplus_has_no_kink():
    net = Network((Linear(np.array([[3.0, -1.0]])), Activation("softplus")))
    x = np.array([[1 / 3, 1.0]])
    assert value_bound(lambda net, x: net.forward(x).sum(), net, x, U)[1] < 2e-6


def test_a_tie_within_rounding_is_undecided():
    pool, apart = Network((MaxPool2d(2, 2),)), np.array([[[[1.0, 2.0], [0.0, 0.0]]]])

    def total(net, x):
        return net.forward(x).sum()

    with pytest.raises(Undecided, match="maximum that rounding"):
        value_bound(total, pool, np.array([[[[1 / 3, 1 / 3 + 1e-9], [0.0, 0.0]]]]), U)
    for x in (apart, 0 * apart):  # of equal exact numbers the first
        assert value_bound(total, pool, x, U) == (x.max(), 0.0)


def test_division_by_what_may_be_zero_is_undecided():
    with pytest.raises(Undecided, match="away from zero"):
        1 / Bounded(np.array([1.0]), np.array([1.0]), U)


def torch_gradient(penalty, e, dtype):
    """∇_θ by torch's double backward, through Linear, tanh, Linear, and formulas of its own."""
    torch = pytest.importorskip("torch")
    kind = getattr(torch, dtype)
    first, _, last = e.network.layers
    theta = [
        torch.tensor(a, dtype=kind, requires_grad=True)
        for a in (first.weight, first.bias, last.weight, last.bias)
    ]
    x = torch.tensor(e.x, dtype=kind, requires_grad=True)
    z = torch.tanh(x @ theta[0].T + theta[1]) @ theta[2].T + theta[3]
    p, y = torch.softmax(z, dim=1), torch.tensor(e.y)
    if penalty == "doubleback":
        outputs = [torch.nn.functional.cross_entropy(z, y, reduction="sum")]
    else:
        outputs = (z if penalty == "frobreg" else p).sum(dim=0)
    rows = [torch.autograd.grad(out, x, create_graph=True)[0] for out in outputs]
    total = sum((row * row).sum() for row in rows)
    parts = torch.autograd.grad(total, theta, allow_unused=True)
    parts = [torch.zeros_like(a) if g is None else g for a, g in zip(theta, parts, strict=True)]
    return torch.cat([g.reshape(-1) for g in parts]).double().numpy()


PENALTIES = {
    "frobreg": lambda e: lambda net, x: frobreg(net.jacobian(x), reduction="sum"),
    "doubleback": lambda e: (
        lambda net, x: doubleback(net.jacobian(x), net.forward(x), e.y, reduction="sum")
    ),
    "jacreg": lambda e: lambda net, x: jacreg(net.jacobian(x), net.forward(x), reduction="sum"),
}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_torch_gradient_lies_within_the_tolerance(penalty, dtype):
    """The tolerance holds, and in float32 a gradient wrong by 1 % is far outside it."""
    for seed in range(5):
        e = next(e for e in bundled(seed) if not e.exact)
        f, rng, u = PENALTIES[penalty](e), np.random.default_rng(seed), UNIT_ROUNDOFF[dtype]
        along = gradient(lambda net, f=f, x=e.x: f(net, x), e.network)
        along /= np.linalg.norm(along)
        expected, tolerance = slope_bound(f, e.network, e.x, along, u, rng)
        error = np.abs(torch_gradient(penalty, e, dtype) @ along - expected)
        assert 0 < error <= tolerance
        if dtype == "float32":
            assert 1e-2 * expected > 200 * tolerance


def test_the_slope_is_the_gradient_s_and_the_tolerance_in_proportion_to_u():
    e = next(e for e in bundled() if not e.exact)
    f, direction = PENALTIES["jacreg"](e), direction_for(e)
    expected = gradient(lambda net: f(net, e.x), e.network) @ direction
    slope, tolerance = slope_bound(f, e.network, e.x, direction, U, np.random.default_rng(0))
    np.testing.assert_allclose(slope, expected, rtol=1e-12)
    coarse = slope_bound(f, e.network, e.x, direction, 2 * U, np.random.default_rng(0))[1]
    np.testing.assert_allclose(coarse, 2 * tolerance, rtol=1e-4)


class Off:
    """The reference in float64, off by a relative error in value or gradient."""

    name = "off"

    def __init__(self, value=0.0, gradient=0.0):
        self.errors = value, gradient

    def value(self, penalty, net, x, y, *, dtype, device, **options):
        return evaluate(penalty, net, x, y, **options) * (1 + self.errors[0])

    def gradient(self, penalty, net, x, y, *, dtype, device, **options):
        g = gradient(lambda n: evaluate(penalty, n, x, y, **options), net)
        return g * (1 + self.errors[1])


FIRST = next(bundled())
FIVE = next(e for e in bundled() if len(e.x) == 5 and not e.exact)
STEEP = next(e for e in bundled() if np.abs(e.z).max() > 1000)


@pytest.mark.parametrize(
    ("dtype", "off", "e", "message"),
    [
        ("float32", Off(value=1e-3), FIRST, "frobreg in float32: expected"),
        ("float32", Off(gradient=1e-2), FIVE, "gradient of frobreg in float32: expected"),
        ("bfloat16", Off(value=-0.5), FIRST, "frobreg in bfloat16: expected"),
    ],
)
def test_an_error_beyond_rounding_is_seen(dtype, off, e, message):
    within_rounding(Target(Off(), dtype=dtype), "frobreg", e)
    with pytest.raises(Broken, match=message):
        within_rounding(Target(off, dtype=dtype), "frobreg", e)


def test_a_number_out_of_range_is_not_held_to_a_bound_of_rounding():
    """float16 ends at 65504: a correct backend returns infinity there."""
    infinite = Target(Off(value=np.inf), dtype="float16")
    with pytest.raises(Undecided, match="out of the range of float16"):
        within_rounding(infinite, "frobreg", STEEP)
    with pytest.raises(Broken, match="got inf"):
        within_rounding(replace(infinite, dtype="float32"), "frobreg", STEEP)
