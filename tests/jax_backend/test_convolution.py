"""`gradreg_jax.conv` is `jax.lax.conv_general_dilated`, to its second derivatives."""

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytestmark = pytest.mark.xdist_group("jax")

NHWC = ("NHWC", "HWIO", "NHWC")
RNG = np.random.default_rng(0)
# Shapes of x and W, and the options. The axes differ in length wherever they can.
CASES = {
    "plain": ((2, 3, 6, 5), (4, 3, 3, 2), ((1, 1), "VALID"), {}),
    "strides and padding": ((2, 3, 7, 6), (4, 3, 3, 2), ((2, 3), [(1, 2), (0, 1)]), {}),
    "channels last": ((2, 6, 5, 3), (3, 2, 3, 4), ((2, 1), "SAME"), {"dimension_numbers": NHWC}),
    "dilations": (
        *((2, 3, 6, 5), (4, 3, 3, 2)),
        ((1, 2), [(1, 1), (0, 1)], np.array([2, 1]), np.array([1, 2])),
        {},
    ),
    "groups": ((2, 4, 6, 5), (6, 2, 3, 2), ((1, 1), "SAME"), {"feature_group_count": 2}),
    "one axis": ((2, 3, 7), (4, 3, 3), ((2,), "SAME"), {}),
}


@pytest.mark.parametrize("name", CASES)
def test_all_derivatives_are_those_of_lax(name):
    """Both of the first order, contracted with something, and those of that: all six rules."""
    x_shape, W_shape, given, options = CASES[name]
    both = RNG.normal(size=x_shape), RNG.normal(size=W_shape)
    along = RNG.normal(size=x_shape), RNG.normal(size=W_shape)

    def of(convolve):
        def value(x, W):
            return (convolve(x, W, *given, **options) ** 3).sum() / 1000

        def slope(x, W):
            gradient = jax.grad(value, (0, 1))(x, W)
            return sum((g * a).sum() for g, a in zip(gradient, along, strict=True))

        return jax.jit(jax.value_and_grad(slope, (0, 1)))(*both)

    with jax.enable_x64(True):
        (got, in_both), (expected, expected_in_both) = (
            of(gj.conv),
            of(jax.lax.conv_general_dilated),
        )
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    for a, b in zip(in_both, expected_in_both, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-10, atol=1e-12 * abs(np.asarray(b)).max())


def test_a_penalty_s_gradient_is_the_same():
    x, W = RNG.normal(size=(2, 3, 5, 4)), RNG.normal(size=(2, 3, 2, 3))

    def of(convolve):
        def f(W, x):
            return jnp.tanh(convolve(x, W, (1, 1), "SAME")).reshape(2, -1)

        return jax.jit(jax.value_and_grad(lambda W: gj.doubleback(f, W, x, np.array([0, 2]))))(W)

    with jax.enable_x64(True):
        for a, b in zip(of(gj.conv), of(jax.lax.conv_general_dilated), strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-10)


def test_forward_mode_is_refused_and_the_remedies_work():
    x, W = np.ones((2, 3, 4, 4), np.float32), np.ones((2, 3, 3, 3), np.float32) / 9

    def f(convolve):
        return lambda W, x: convolve(x, W, (1, 1), "VALID").reshape(2, -1)

    key = jax.random.key(0)
    with pytest.raises(TypeError, match=r"pass mode='reverse', .*jax\.lax\.conv_general_dilated"):
        gj.spectreg(f(gj.conv), W, x, key=key, mode="forward")
    assert gj.spectreg(f(gj.conv), W, x, key=key) > 0
    assert gj.spectreg(f(jax.lax.conv_general_dilated), W, x, key=key, mode="forward") > 0
