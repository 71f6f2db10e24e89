"""Rules that clip, normalise, rectify or select gradients: refused, and found by `check_model`."""

from functools import partial

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytestmark = pytest.mark.xdist_group("jax")

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.standard_normal((6, 4)), jnp.float32)
PARAMS = {
    name: jnp.asarray(RNG.standard_normal((a, b)), jnp.float32)
    for name, a, b in (("first", 4, 5), ("last", 5, 3))
}
MESSAGE = "expected derivatives that are linear"
OWN_R = partial(gj.spectreg, key=jax.random.key(0))
FORMS = {
    "spectreg": lambda f: OWN_R(f, PARAMS, X),
    "frobreg": lambda f: gj.frobreg(f, PARAMS, X),
    "frobreg, jit": lambda f: jax.jit(partial(gj.frobreg, f))(PARAMS, X),
    "frobreg, grad": lambda f: jax.grad(partial(gj.frobreg, f))(PARAMS, X),
    "doubleback": lambda f: gj.doubleback(f, PARAMS, X, jnp.arange(6) % 3),
}


def identity(backward):
    """The identity, with another rule for its gradient."""
    f = jax.custom_vjp(lambda t: t)
    f.defvjp(lambda t: (t, None), lambda _, g: (backward(g),))
    return f


NONLINEAR = {
    "clip": identity(lambda g: jnp.clip(g, -30, 30)),
    "norm": identity(lambda g: g * jnp.minimum(1, 30 / jnp.linalg.norm(g))),
    "rectified": identity(lambda g: jnp.maximum(g, 0)),
    "selected": identity(lambda g: jnp.where(abs(g) < jnp.median(abs(g)), 0, g)),
}


def network(middle):
    return lambda params, x: middle(jnp.tanh(x @ params["first"])) @ params["last"]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", NONLINEAR)
def test_a_rule_that_is_not_linear(name, form):
    with pytest.raises(ValueError, match=MESSAGE):
        FORMS[form](network(NONLINEAR[name]))


@pytest.mark.parametrize("name", NONLINEAR)
def test_check_model_says_so(name):
    report = gj.check_model(network(NONLINEAR[name]), PARAMS, X, penalty=OWN_R)
    assert not report.ok
    assert report.jacobian > 0.1


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_small_and_large_gradients_are_no_false_alarm(dtype, scale):
    params = jax.tree.map(lambda p: p.astype(dtype), PARAMS)
    f, g = network(identity(lambda g: g)), network(lambda t: t)
    of = [gj.frobreg(lambda p, x, f=f: scale * f(p, x), params, X.astype(dtype)) for f in (f, g)]
    assert of[0] == of[1]


def test_float16_loses_small_gradients_and_is_not_tried():
    params = jax.tree.map(lambda p: p.astype(jnp.float16), PARAMS)
    small = network(lambda t: t * jnp.float16(1e-6))
    assert jnp.isfinite(gj.frobreg(small, params, X.astype(jnp.float16)))


def test_a_product_that_underflows_says_nothing():
    """1024 times as large, it has digits again."""
    assert gj.frobreg(network(lambda t: t * 1e-20 * 1e-20), PARAMS, X) == 0


def test_terms_that_cancel_do_not_enlarge_what_a_solver_is_off_by():
    """J^T r and 2 J^T s nearly cancel, and 0.1 % of them was more than 1 % of what is left."""

    def solve(g):  # off by 0.1 %, the same for each multiple of g
        off = jnp.sin(100 * g / jnp.linalg.norm(g))
        return g + 0.001 * jnp.linalg.norm(g) * off / jnp.linalg.norm(off)

    k = np.arange(1.0, 4.0)
    r, s = np.cos(k), np.cos(k * k)
    some = r - 2 * s
    column = r - some * (r @ some / (some @ some) - 0.005)
    weights = np.outer(np.ones(4), column)
    f = identity(solve)
    got = OWN_R(lambda params, x: f(x @ params), jnp.asarray(weights, jnp.float32), X[:1])
    assert got > 0
