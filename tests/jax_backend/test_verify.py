"""`gradreg verify` for functions in JAX: what is handed over, and what is found wrong."""

from functools import partial

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.random import normal

from gradreg_verify import BY_ID, Broken, NotTestable, bundled, verify
from gradreg_verify.claims.target import target_of
from gradreg_verify.frameworks.harness import Call, Draw, Supply
from gradreg_verify.frameworks.jax.randomness import Randomness
from gradreg_verify.run import run

pytestmark = pytest.mark.xdist_group("jax")


def squares(v):
    return (v.reshape(len(v), -1) ** 2).sum(axis=1)


def probed(f, params, x, r_of):
    z, pull = jax.vjp(lambda x: f(params, x), x)
    return squares(pull(r_of(z))[0]).mean()


def right(f, params, x, *, key):
    return probed(f, params, x, lambda z: jax.random.normal(key, z.shape, z.dtype))


def hidden(f, params, x, *, key):
    return probed(f, params, x, lambda z: normal(key, z.shape, z.dtype))


def given(f, params, x, probes):
    return probed(f, params, x, lambda z: probes.reshape(z.shape))


def signs(model, x, *, key):
    z, pull = jax.vjp(model, x)
    return squares(pull(jax.random.rademacher(key, z.shape, z.dtype))[0]).mean()


@jax.jit
def noise(key, z):
    return jax.random.normal(key, z.shape, z.dtype)


def compiled(f, params, x, *, key):
    return probed(f, params, x, lambda z: noise(key, z))


def own_keys(draw):
    """A penalty of one example with a key of its own, under `vmap`."""

    def penalty(f, params, x, *, key):
        def one(example, key):
            z, pull = jax.vjp(lambda t: f(params, t[None])[0], example)
            return (pull(draw(key, z.shape, z.dtype))[0] ** 2).sum()

        return jax.vmap(one)(x, jax.random.split(key, len(x))).mean()

    return penalty


def nested(f, params, x, *, key):
    """The mean over two probes, each with a key of its own, too."""

    def one(example, keys):
        z, pull = jax.vjp(lambda t: f(params, t[None])[0], example)
        of = jax.vmap(lambda key: (pull(jax.random.normal(key, z.shape, z.dtype))[0] ** 2).sum())
        return of(keys).mean()

    return jax.vmap(one)(x, jax.random.split(key, (len(x), 2))).mean()


def one_key(f, params, x, *, key):
    return own_keys(lambda _, *rest: jax.random.normal(key, *rest))(f, params, x, key=key)


def fixed(f, params, x):
    return right(f, params, x, key=jax.random.key(0))


def shared_by_accident(f, params, x, *, key):
    return probed(
        f, params, x, lambda z: jnp.broadcast_to(jax.random.normal(key, z.shape[1:]), z.shape)
    )


def detached(f, params, x, y):
    return probed(
        f,
        params,
        x,
        lambda z: jax.lax.stop_gradient(jax.nn.softmax(z) - jax.nn.one_hot(y, z.shape[1])),
    )


def target(function, kind, **declared):
    return target_of(function, kind, "jax", "cpu", 4, 60.0, declared)


@pytest.mark.parametrize(
    ("function", "probe", "tier"),
    [
        (right, "gaussian", "intercepted"),
        (signs, "rademacher", "intercepted"),
        (given, "gaussian", "argument"),
        (hidden, "gaussian", "seeded"),
        (own_keys(lambda *a: jax.random.normal(*a)), "gaussian", "intercepted"),
        (own_keys(lambda *a: jax.random.rademacher(*a)), "rademacher", "intercepted"),
    ],
)
def test_a_right_one_holds_as_far_as_it_can_be_asked(function, probe, tier):
    one = target(function, "spectreg", probe=probe)
    assert one.declared.probes.tier == tier
    e = list(bundled())[2]
    BY_ID["values-per-example"].check(one, e)
    BY_ID["training-gradient"].check(one, e)
    BY_ID["repeatable"].check(one, e)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (fixed, "same probes: a seed is set"),
        (shared_by_accident, "have the same probe"),
        (one_key, "have the same probe"),
    ],
)
def test_probes_that_are_always_the_same(function, message):
    with pytest.raises(Broken, match=message):
        list(BY_ID["probe-law"].checks[-1](target(function, "spectreg"), list(bundled())[2]))


@pytest.mark.parametrize(
    ("function", "kind"), [(right, "normal"), (compiled, "normal"), (signs, "integer")]
)
def test_what_is_drawn_is_seen_also_in_a_jit_of_the_function_s_own(function, kind):
    e, one = next(bundled()), target(function, "spectreg").declared
    for _ in range(2):  # a program that was compiled before shows no calls
        (draw,) = one.harness.draws(Call(e.network, e.x, e.y, Supply(1)))
        assert draw.kind == kind
        assert draw.values.shape == e.probes.shape[:2]
        assert kind == "normal" or set(draw.values.ravel()) <= {0, 1}
        one.harness.value(Call(e.network, e.x, e.y, Supply(1)))


@pytest.mark.parametrize(
    ("function", "num_probes"), [(own_keys(lambda *a: jax.random.normal(*a)), 1), (nested, 2)]
)
def test_a_key_for_each_example_is_seen_inside_vmap(function, num_probes):
    one, e = target(function, "spectreg", num_probes=num_probes), list(bundled())[2]
    (draw,) = one.declared.harness.draws(Call(e.network, e.x, e.y, Supply(1)))
    assert np.size(draw.values) == num_probes * e.probes[:, :, 0].size
    BY_ID["spectreg-unbiased"].check(one, e)
    assert list(BY_ID["probe-law"].checks[0](one, e))


def test_bounds_may_depend_on_what_is_differentiated():
    """They are no part of the draw, which is made of the key alone."""

    def value(w):
        u = jax.random.uniform(jax.random.key(0), (3,), minval=-w, maxval=w)
        return (u**2).sum()

    fed = jnp.array([0.0, 0.25, 1.0])  # at w = 2: -2, -1, 2
    with Randomness([Draw("uniform", fed)]):
        assert jax.grad(value)(2.0) == 9.0


def test_a_wrong_law_inside_vmap():
    one = target(own_keys(partial(jax.random.uniform, minval=-2.0)), "spectreg")
    with pytest.raises(Broken, match="gaussian"):
        run(BY_ID["probe-law"], one, list(bundled())[2:3])


@jax.custom_vjp
def unscaled(value):
    """A value whose backward pass ignores what it is multiplied by."""
    return value


unscaled.defvjp(lambda value: (value, None), lambda _, weight: (jnp.ones_like(weight),))


def test_a_gradient_that_is_right_at_a_weight_of_1_alone():
    one = target(lambda f, params, x: unscaled(gj.frobreg(f, params, x)), "frobreg")
    with pytest.raises(Broken, match=r"gradient of -0\.000977 × the value"):
        run(BY_ID["training-gradient"], one, list(bundled()))


def test_what_is_wrong_is_said():
    report = verify(detached, "doubleback", framework="jax")
    assert report.failed[0] == "training-gradient"
    assert "DoubleBack with p detached" in report.diagnosis.computes


def test_a_function_of_no_arrays_is_broken():
    with pytest.raises(Broken, match="expected a floating array, got float"):
        BY_ID["frobreg-formula"].check(target(lambda f, params, x: 1.0, "frobreg"), next(bundled()))


def taken_for_zero(f, params, x, y):
    """As jax.nn.one_hot has it: no class for a label out of range."""
    z, pull = jax.vjp(lambda x: f(params, x), x)
    return squares(pull(jax.nn.one_hot(y, z.shape[1], dtype=z.dtype))[0]).mean()


def nan_in_the_loss(f, params, x, y):
    """Its gradient is 0 where the loss is NaN."""

    def loss(x):
        z = f(params, x)
        picked = jnp.take_along_axis(z, y[:, None], 1)[:, 0]
        return jnp.where((y >= 0) & (y < z.shape[1]), picked, jnp.nan).sum()

    return squares(jax.grad(loss)(x)).mean()


@pytest.mark.parametrize("function", [taken_for_zero, nan_in_the_loss])
def test_what_to_do_about_labels_under_jit_is_said_and_helps(function):
    def as_said(f, params, x, y):
        m, penalty = f(params, x).shape[1], function(f, params, x, y)
        return jnp.where(((y >= 0) & (y < m)).all(), penalty, jnp.nan)

    check, e = BY_ID["bad-input-refused"].check, next(bundled())
    with pytest.raises(Broken, match=r"an error or NaN, got .*jnp.where\(.*, penalty, jnp.nan\)"):
        check(target(function, "onehot"), e)
    assert check(target(as_said, "onehot"), e) == 0


def test_what_a_function_is_not_asked_to_refuse_is_said():
    result = run(BY_ID["bad-input-refused"], target(gj.onehot, "onehot"), list(bundled())[:1])
    assert result.verdict == "PASS"
    assert any("a function need not refuse them" in what for what in result.left_out)


def squared(f, params, x):
    J = jax.vmap(jax.jacrev(lambda example: f(params, example[None])[0]))(x)
    return squares(J).mean()


def debugging(f, params, x):
    jax.config.update("jax_debug_nans", True)
    return squared(f, params, x)


def seeding(f, params, x):
    np.random.seed(0)
    return squared(f, params, x)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (debugging, "a call of frobreg changes the setting jax_debug_nans"),
        (seeding, "a call of frobreg changes NumPy's global random state"),
    ],
)
def test_what_a_trace_changes_is_said_and_settings_are_put_back(function, message):
    e, one = next(bundled()), target(function, "frobreg")
    BY_ID["frobreg-formula"].check(one, e)
    with pytest.raises(Broken, match=message):
        BY_ID["repeatable"].check(one, e)
    assert not jax.config.jax_debug_nans


def forward_mode(f, params, x, *, key):
    v = jax.random.normal(key, x.shape)  # in the default dtype, as most functions draw
    return squares(jax.jvp(lambda x: f(params, x), (x,), (v,))[1]).mean()


def by_rows(f, params, x):
    z, pull = jax.vjp(lambda x: f(params, x), x)
    rows = [pull(jnp.broadcast_to(row, z.shape))[0] for row in jnp.eye(z.shape[1])]
    return sum(map(squares, rows)).mean()


@pytest.mark.parametrize(
    ("function", "kind", "declared"),
    [(forward_mode, "spectreg", {"side": "input"}), (by_rows, "frobreg", {})],
)
def test_in_float32_the_default_dtype_is_float32(function, kind, declared):
    BY_ID["rounding-bounded"].check(target(function, kind, **declared), list(bundled())[2])
    e = list(bundled())[2]
    call = Call(e.network, e.x, e.y, Supply(1), dtype="float32")
    assert np.isfinite(target(function, kind, **declared).declared.harness.value(call))


def interpolated(f, params, x, key):
    a = jax.random.uniform(key, (len(x), *(1,) * (x.ndim - 1)))
    v = jax.grad(lambda x: f(params, x).sum())(a * x + (1 - a) * x)
    return ((jnp.sqrt(squares(v)) - 1) ** 2).mean()


def test_a_key_that_must_be_given_is_given_also_where_no_probes_are_declared():
    e, one = next(bundled()), target(interpolated, "frobreg").declared
    assert one.harness.value(Call(e.network, e.x, e.y, Supply(1))) > 0


def of_fields(f, params, x, probes):
    return probed(f, params, x, lambda z: (probes * x) / x)


def test_what_probes_in_the_right_shape_raise_is_said():
    with pytest.raises(NotTestable, match="last of them it raised TypeError: mul got incompat"):
        target(of_fields, "spectreg").declared.probes.supply(np.ones((2, 3, 1)), 2)


def test_a_function_is_verified_in_full_float32():
    """By default accelerators round the factors of products to 8 or 10 bits."""
    seen = set()

    def squared_weights(params):
        seen.add(jax.config.jax_default_matmul_precision)
        return sum((W**2).sum() for W in jax.tree.leaves(params) if W.ndim > 1)

    assert verify(squared_weights, "weight_decay", framework="jax").ok
    assert seen == {"highest"}
