"""`gradreg_jax.check_model`: wrong second derivatives, coupled examples, J = 0."""

from functools import partial

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import AxisType, NamedSharding
from jax.sharding import PartitionSpec as P

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


def in_precision(dtype, middle):
    """A part that computes in a lower precision, as norms and attention do."""
    return lambda h: middle(h.astype(dtype)).astype(h.dtype)


def normed(h):
    return jnp.tanh(h / jnp.sqrt(1 + h**2))


@pytest.mark.parametrize("jitted", [False, True])
def test_bfloat16_inside_is_no_wrong_gradient(jitted):
    """The report said WRONG, 80 % off."""
    middle = in_precision(jnp.bfloat16, normed)
    with pytest.raises(ValueError, match=r"expected f to compute in float64.*bfloat16"):
        gj.check_model(network(jax.jit(middle) if jitted else middle), PARAMS, X)
    assert gj.check_model(network(normed), PARAMS, X).ok  # what the message says to do


@pytest.mark.parametrize("jitted", [False, True])
def test_float32_inside_is_tried_with_longer_steps(jitted):
    """`jax.nn.dot_product_attention` computes its softmax in float32, and no option says it may
    not: transformers of Flax could not be checked.
    """
    middle = in_precision(jnp.float32, normed)
    assert gj.check_model(network(jax.jit(middle) if jitted else middle), PARAMS, X).ok
    with pytest.raises(ValueError, match=r"expected f to compute in float64.*float32"):
        gj.check_model(network(in_precision(jnp.float32, cube)), PARAMS, X)


def test_attention():
    def attention(h):
        each = h.reshape(len(h), 5, 1, 1)
        return jax.nn.dot_product_attention(each, each, each).reshape(h.shape)

    assert gj.check_model(network(attention), PARAMS, X).ok


def test_a_jacobian_that_is_zero_in_any_precision():
    """The zero is exact; a message about float32 said nothing of it."""
    zero = network(in_precision(jnp.float32, jnp.tanh))
    assert gj.check_model(lambda params, x: zero(params, 0 * x), PARAMS, X).zero


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


def test_a_batch_with_explicit_shards():
    """JAX asks of a contraction over the examples how its result is placed."""
    mesh = jax.make_mesh((1,), ("data",), axis_types=(AxisType.Explicit,))
    everywhere = jax.device_put(PARAMS, NamedSharding(mesh, P()))
    split = jax.device_put(X, NamedSharding(mesh, P("data")))
    assert gj.check_model(network(jnp.tanh), everywhere, split).ok


def test_parameters_that_are_not_trained():
    params = PARAMS | {"bias": jnp.zeros(3)}
    report = gj.check_model(lambda p, x: network(jnp.tanh)(p, x) + p["bias"], params, X)
    assert report.ok
    assert report.untrained == ("['bias']",)


def test_the_precision_is_what_it_was():
    gj.check_model(network(jnp.tanh), PARAMS, X)
    assert jnp.ones(2).dtype == jnp.float32
    assert PARAMS["first"].dtype == jnp.float32


@pytest.mark.parametrize("middle", [jnp.tanh, cube])  # right, and wrong
def test_no_trace_in_float64_is_left(middle):
    """JAX took the check's trace of f for a step in float32: "expected s32, got s64"."""
    rows = np.array([0, 1, 2, 0, 1, 2])

    def f(params, x):
        return jax.ops.segment_sum(x, rows, num_segments=6) @ params["first"] @ params["last"]

    def model(params, x):
        return network(middle)(params, x) + f(params, x)

    gj.check_model(model, PARAMS, X)
    step = jax.jit(lambda rows: model(PARAMS, X).sum() + rows.sum())
    assert jnp.isfinite(step(rows))


def recurrent(like):
    """The last state of a loop; where `like` says so, its first state has the dtype of x."""

    def f(params, x):
        first = jnp.zeros((len(x), 5), x.dtype if like else jnp.float32)
        step = lambda h, _: (jnp.tanh(h + x @ params["first"]), None)  # noqa: E731
        return jax.lax.scan(step, first, length=3)[0] @ params["last"]

    return f


def test_a_state_of_float32_is_named():
    """As the cells of Flax make it: the check ended in JAX's words about a carry."""
    with pytest.raises(ValueError, match=r"expected f to run in float64.*param_dtype=jnp.float64"):
        gj.check_model(recurrent(like=False), PARAMS, X)
    assert gj.check_model(recurrent(like=True), PARAMS, X).ok


def test_the_remedy_for_a_cell_of_flax():
    nn = pytest.importorskip("flax.linen")

    def model(**options):
        return nn.Sequential([nn.RNN(nn.LSTMCell(5, **options)), lambda h: h[:, -1], nn.Dense(3)])

    x = np.random.default_rng(0).normal(size=(4, 3, 4)).astype(np.float32)
    params = model().init(jax.random.key(0), x)
    with pytest.raises(ValueError, match=r"nn[.]LSTMCell\(8, param_dtype=jnp[.]float64\)"):
        gj.check_model(model().apply, params, x)
    assert gj.check_model(model(param_dtype=jnp.float64).apply, params, x).ok


def test_another_type_error_is_the_user_s_own():
    with pytest.raises(TypeError, match="got an unexpected keyword"):
        gj.check_model(lambda params, x: jnp.tanh(x, axis=3), PARAMS, X)


def test_a_module_whose_leaves_are_functions_too():
    """Equinox keeps activations among them: the message spoke of byte order."""
    with pytest.raises(TypeError, match=r"a function at \['act'\]; split.*eqx[.]partition"):
        gj.check_model(lambda p, x: p["act"](x @ p["first"]), PARAMS | {"act": jnp.tanh}, X)


@jax.custom_vjp
def constant(t):
    return t**3


constant.defvjp(lambda t: (t**3, jax.lax.stop_gradient(3 * t * t)), lambda kept, g: (kept * g,))


@pytest.mark.parametrize(
    ("branch", "line"),
    [(lambda t: jnp.tanh(t - t.mean(axis=0)), "alone"), (constant, "off")],
)
def test_it_looks_behind_a_gate_of_zero(branch, line):
    """It found nothing at the parameters as they are."""
    keys = jax.random.split(jax.random.key(0), 3)
    params = {
        "W": jax.random.normal(keys[0], (4, 5)) / 2,
        "V": jax.random.normal(keys[1], (5, 3)) / 2,
        "gate": jnp.zeros(()),
    }

    def f(params, x):
        h = x @ params["W"]
        return jnp.tanh(h + params["gate"] * branch(h)) @ params["V"]

    report = gj.check_model(f, params, jax.random.normal(keys[2], (6, 4)))
    assert not report.alone if line == "alone" else report.off > 1e-2
