"""`gradreg_jax.check_model`: a wrong second derivative, examples that see each other, J = 0."""

from functools import partial

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import pytest

KEYS = jax.random.split(jax.random.key(0), 3)
PARAMS = {
    "first": 0.5 * jax.random.normal(KEYS[0], (4, 5)),
    "last": 0.5 * jax.random.normal(KEYS[1], (5, 3)),
}
X = jax.random.normal(KEYS[2], (6, 4))
Y = jnp.arange(6) % 3


@jax.custom_vjp
def cube(t):
    return t**3


def forward(t):
    return t**3, 3 * jax.lax.stop_gradient(t) ** 2


cube.defvjp(forward, lambda saved, g: (saved * g,))


def network(middle):
    return lambda params, x: middle(x @ params["first"]) @ params["last"]


@pytest.mark.parametrize(
    ("middle", "penalty"),
    [(jnp.tanh, gj.spectreg), (jax.nn.relu, gj.doubleback), (lambda t: t**3, gj.jacreg)],
)
def test_right_functions(middle, penalty):
    report = gj.check_model(network(middle), PARAMS, X, Y, penalty=penalty)
    assert report.ok, report
    assert report.alone
    assert not report.untrained
    assert "right" in str(report)


def test_a_second_derivative_that_is_wrong():
    report = gj.check_model(network(cube), PARAMS, X)
    assert not report.ok
    assert report.wrong == ("['first']",)
    assert "WRONG" in str(report)
    value = partial(gj.frobreg, network(lambda t: t**3))(PARAMS, X)
    assert jnp.allclose(gj.frobreg(network(cube), PARAMS, X), value)  # which is why nobody sees it


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("jitted", [False, True])
def test_lower_precision_inside_is_no_wrong_gradient(dtype, jitted):
    """As norms of language models compute. The report said WRONG, 80 % off."""

    def middle(h):
        low = h.astype(dtype)
        return jnp.tanh((low / jnp.sqrt(1 + low**2)).astype(h.dtype))

    with pytest.raises(ValueError, match=f"expected f to compute in float64.*{dtype.__name__}"):
        gj.check_model(network(jax.jit(middle) if jitted else middle), PARAMS, X)
    kept = network(lambda h: jnp.tanh(h / jnp.sqrt(1 + h**2)))  # what the message says to do
    assert gj.check_model(kept, PARAMS, X).ok


def test_examples_that_see_each_other():
    normed = network(lambda t: (t - t.mean(0)) / (t.std(0) + 1e-3))
    assert not gj.check_model(normed, PARAMS, X).alone


@pytest.mark.parametrize("shift", [1, 2, 3, 4])
def test_any_two_examples_that_see_each_other(shift):
    """Products that are zero in every second example did not see a shift by two."""

    def shifted(params, x):
        return network(jnp.tanh)(params, x + jnp.roll(x, shift, axis=0))

    assert not gj.check_model(shifted, PARAMS, X).alone


def test_a_jacobian_that_is_zero():
    report = gj.check_model(lambda params, x: network(jnp.tanh)(params, 0 * x), PARAMS, X)
    assert not report.ok
    assert "J is zero" in str(report)


def straight_through(h):
    return h + jax.lax.stop_gradient(jnp.sin(h) - h)


def test_a_jacobian_that_is_not_the_one_of_the_logits():
    report = gj.check_model(network(straight_through), PARAMS, X)
    assert not report.ok
    assert report.off < 1e-6, "the gradient is right: the value is of another function"
    assert "jacobian    WRONG" in str(report)
    assert gj.check_model(network(jnp.sin), PARAMS, X).jacobian < 1e-6


def test_a_last_layer_of_zeros_is_looked_at_beside_it():
    """There J is zero, and all derivatives are."""
    params = PARAMS | {"last": jnp.zeros((5, 3))}
    report = gj.check_model(network(jnp.tanh), params, X)
    assert report.ok
    assert report.penalty == 0
    assert not report.untrained
    assert not gj.check_model(network(cube), params, X).ok


def test_parameters_that_are_not_trained():
    params = PARAMS | {"bias": jnp.zeros(3)}
    report = gj.check_model(lambda p, x: network(jnp.tanh)(p, x) + p["bias"], params, X)
    assert report.ok
    assert report.untrained == ("['bias']",)


def test_the_precision_is_what_it_was():
    gj.check_model(network(jnp.tanh), PARAMS, X)
    assert jnp.ones(2).dtype == jnp.float32
    assert PARAMS["first"].dtype == jnp.float32
