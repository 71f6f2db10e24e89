"""What a compiled step closes over, keys, loops, rules of one's own; each was an error of JAX."""

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest

X = np.random.default_rng(0).standard_normal((4, 6)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((6, 3)).astype(np.float32)
Y = np.array([0, 1, 2, 0])
KEY = jax.random.key(0)


def f(W, x):
    return jnp.tanh(x @ W)


def looped(W, x):
    """tanh as often as is known when it runs."""
    return jax.lax.while_loop(lambda c: c[0] < 1, lambda c: (c[0] + 1, jnp.tanh(c[1])), (0, x @ W))[
        1
    ]


@jax.custom_vjp
def own(h):
    return jnp.tanh(h)


own.defvjp(lambda h: (jnp.tanh(h), jnp.tanh(h)), lambda y, g: ((1 - y * y) * g,))


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_a_compiled_step_may_close_over_its_data(array):
    x, y = array(X), array(Y)
    for penalty in (lambda W: gj.frobreg(f, W, x), lambda W: gj.onehot(f, W, x, y)):
        assert jax.jit(penalty)(W) == pytest.approx(float(penalty(W)), rel=1e-6)


@pytest.mark.parametrize("array", [np.asarray, jnp.asarray])
def test_and_what_it_closes_over_is_looked_at(array):
    beyond, nan = array(Y + 1), array(np.full_like(X, np.nan))
    with pytest.raises(ValueError, match=r"expected labels in \[0, 3\)"):
        jax.jit(lambda W: gj.onehot(f, W, X, beyond))(W)
    with pytest.raises(ValueError, match="expected x finite"):
        jax.jit(lambda W: gj.frobreg(f, W, nan))(W)


@pytest.mark.parametrize("key", [0, np.random.default_rng(0), jax.random.split(KEY, 2)])
def test_what_is_no_key_is_refused(key):
    with pytest.raises((TypeError, ValueError), match=r"expected (key=jax.random.key|one key)"):
        gj.spectreg(f, W, X, key=key)


def test_keys_of_old_will_do():
    old = jax.random.PRNGKey(0)
    assert gj.spectreg(f, W, X, key=old) == gj.spectreg(f, W, X, key=KEY)


def test_forward_mode_does_without_reverse_mode():
    """The value of a while_loop, and its derivative in the parameters by jax.jvp."""

    def penalty(f):
        return lambda W: gj.spectreg(f, W, X, key=KEY, mode="forward")

    found, expected = (jax.jvp(penalty(g), (W,), (np.ones_like(W),)) for g in (looped, f))
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    with pytest.raises(ValueError, match="Reverse-mode differentiation does not work"):
        jax.grad(penalty(looped))(W)


def test_a_custom_vjp_is_refused_in_forward_mode():
    def g(W, x):
        return own(x @ W)

    assert gj.spectreg(g, W, X, key=KEY) == pytest.approx(float(gj.spectreg(f, W, X, key=KEY)))
    with pytest.raises(TypeError, match="expected operations with a forward rule"):
        gj.spectreg(g, W, X, key=KEY, mode="forward")


def test_masks_are_closed_over():
    inputs = {"x": X, "mask": X > 0}
    with pytest.raises(TypeError, match="close f over what is not differentiated"):
        gj.frobreg(lambda W, x: f(W, x["x"] * x["mask"]), W, inputs)


def test_a_dtype_by_python_s_name_draws_the_same_probes():
    with jax.enable_x64(True):
        by_name = gj.draw_probes("gaussian", 2, 3, key=KEY, dtype=float)
        np.testing.assert_array_equal(
            by_name, gj.draw_probes("gaussian", 2, 3, key=KEY, dtype=jnp.float64)
        )
