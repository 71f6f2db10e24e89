"""The JAX functions as JAX users call them; the claims run on them in tests/test_*.py."""

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO

import gradreg_ref as ref
from gradreg_verify import BY_ID, Target, bundled
from gradreg_verify.frameworks.jax import to_jax
from gradreg_verify.frameworks.jax.backend import JaxBackend

pytestmark = pytest.mark.xdist_group("jax")

X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
Y = np.array([0, 1, 2, 0, 1])
W = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
PARAMS = {"W": jnp.asarray(W), "b": jnp.zeros(3)}
KEY = jax.random.key(0)


def f(params, x):
    """tanh(x) W + b."""
    return jnp.tanh(x) @ params["W"] + params["b"]


def jacobian():
    """J[n, k, i] of f, by hand."""
    return np.einsum("ik,ni->nki", W, 1 - np.tanh(X) ** 2)


def test_it_is_the_reference_s_number():
    J, z = jacobian(), np.asarray(f(PARAMS, X))
    pairs = {
        "frobreg": (gj.frobreg(f, PARAMS, X), ref.frobreg(J)),
        "doubleback": (gj.doubleback(f, PARAMS, X, Y), ref.doubleback(J, z, Y)),
        "jacreg": (gj.jacreg(f, PARAMS, X), ref.jacreg(J, z)),
        "onehot": (gj.onehot(f, PARAMS, X, Y), ref.onehot(J, Y)),
        "confidence": (gj.confidence_penalty(f(PARAMS, X)), ref.confidence_penalty(z)),
    }
    for name, (got, expected) in pairs.items():
        np.testing.assert_allclose(got, expected, rtol=2e-6, err_msg=name)


@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_jit_grad_and_vmap(mode):
    def penalty(params, key):
        return gj.spectreg(f, params, X, key=key, mode=mode, probe="sphere")

    keys = jax.random.split(jax.random.key(0), 3)
    each = jnp.stack([penalty(PARAMS, key) for key in keys])
    np.testing.assert_allclose(jax.vmap(penalty, (None, 0))(PARAMS, keys), each, rtol=1e-5)
    slow, fast = jax.grad(penalty)(PARAMS, keys[0]), jax.jit(jax.grad(penalty))(PARAMS, keys[0])
    np.testing.assert_allclose(slow["W"], fast["W"], rtol=1e-5)
    assert float(jnp.abs(slow["W"]).max()) > 0.1
    assert not float(jnp.abs(slow["b"]).max())


def test_inputs_are_pytrees_and_outputs_of_any_rank():
    def g(params, x):
        return f(params, jnp.concatenate([x["a"], x["b"]], axis=1)).reshape(-1, 3, 1)

    parts = {"a": X[:, :1], "b": X[:, 1:]}
    np.testing.assert_allclose(gj.frobreg(g, PARAMS, parts), gj.frobreg(f, PARAMS, X), rtol=1e-6)
    V = np.random.default_rng(2).standard_normal((5, 4, 2)).astype(np.float32)
    np.testing.assert_allclose(
        gj.spectreg(g, PARAMS, parts, probes=V, mode="forward"),
        gj.spectreg(f, PARAMS, X, probes=V, mode="forward"),
        rtol=1e-5,
    )


def test_probes_of_the_inputs_have_their_dtype():
    """A linear map of a float32 and a float16 part to logits of bfloat16: J v is exact."""
    parts = {"a": np.ones((2, 3), np.float32), "b": np.ones((2, 2), np.float16)}

    def g(params, x):
        return (x["a"].sum(axis=1) + 2 * x["b"].sum(axis=1))[:, None].astype(jnp.bfloat16)

    V = np.arange(10.0).reshape(2, 5, 1) - 4
    Jv = V[:, :3].sum(axis=1) + 2 * V[:, 3:].sum(axis=1)
    got = gj.spectreg(g, None, parts, probes=V, mode="forward", reduction="none")
    np.testing.assert_array_equal(got, Jv[:, 0] ** 2)
    drawn = gj.draw_probes("gaussian", 2, 5, key=KEY)
    np.testing.assert_array_equal(
        gj.spectreg(g, None, parts, key=KEY, mode="forward"),
        gj.spectreg(g, None, parts, probes=drawn, mode="forward"),
    )


def test_numbers_of_probes_are_integers_of_any_kind():
    two = gj.spectreg(f, PARAMS, X, num_probes=2, key=KEY)
    for number in (np.int64(2), jnp.int32(2)):
        assert gj.spectreg(f, PARAMS, X, num_probes=number, key=KEY) == two
        assert gj.jacreg(f, PARAMS, X, num_probes=number, key=KEY) > 0


class Readable:
    """Holds numbers of X that NumPy can read, as a tensor of another framework does."""

    ndim, dtype = X.ndim, "of another framework"

    def __array__(self, dtype=None, copy=None):
        return np.array(X, dtype)


def test_inputs_and_weights_of_another_framework():
    assert gj.frobreg(f, PARAMS, Readable()) == gj.frobreg(f, PARAMS, X)
    assert gj.weight_decay([Readable()]) == gj.weight_decay([X])


def test_weight_decay_passes_over_scalars():
    params = [W, np.zeros(3), 0.5, 3, np.int32(2), jnp.ones(())]
    assert gj.weight_decay(params) == gj.weight_decay([W])


def test_weight_decay_of_stacked_layers_by_vmap():
    """Their biases have two axes, as weights have."""
    layers = [{"W": W[:3] + i, "b": np.ones(3, np.float32)} for i in range(2)]
    stacked = jax.tree.map(lambda *a: np.stack(a), *layers)
    found = jax.vmap(gj.weight_decay)(stacked).sum()
    np.testing.assert_allclose(found, sum(map(gj.weight_decay, layers)), rtol=1e-6)
    assert gj.weight_decay(stacked) > found


@pytest.mark.parametrize("e", list(bundled()), ids=str)
def test_a_network_in_jax_has_its_parameters_in_order_and_its_logits(e):
    with jax.enable_x64(True):
        f, params = to_jax(e.network)
        z = f(params, e.x)
    flat = np.concatenate([np.ravel(a) for a in params])
    np.testing.assert_array_equal(flat, e.network.parameters())
    np.testing.assert_allclose(z, e.z, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("k", "dtype"), [(9, "bfloat16"), (13, "float16")])
def test_sixteen_bits_lose_no_more_than_they_must(k, dtype):
    target = Target(JaxBackend(), dtypes=(dtype,))
    assert 0 < BY_ID["rounding-bounded"].check(target, list(bundled())[k]) <= 1


def masked(a):
    return np.ma.masked_array(np.asarray(a), np.asarray(a) > 0)


FLOAT8 = jnp.float8_e4m3fn
REFUSED = {
    "probes of no dtype": (
        lambda: gj.draw_probes("gaussian", 2, 3, key=KEY, dtype="nope"),
        "got 'nope'; for example dtype=jnp.float32",
    ),
    "probes of 8 bits": (
        lambda: gj.draw_probes("gaussian", 2, 3, key=KEY, dtype=FLOAT8),
        "expected dtype of a floating dtype of 16 bits or more, got float8_e4m3fn",
    ),
    "x of 8 bits": (lambda: gj.frobreg(f, PARAMS, jnp.asarray(X, FLOAT8)), "expected x of a float"),
    "logits of 8 bits": (
        lambda: gj.frobreg(lambda p, x: f(p, x).astype(FLOAT8), PARAMS, X),
        "expected logits of a floating dtype of 16 bits or more",
    ),
    "probes beyond counting": (
        lambda: gj.draw_probes("gaussian", 2, 3, 10**30, key=KEY),
        "expected at most 2⁴⁰ numbers, got probes with 2 · 3 · 10000",
    ),
    # XLA ends the process.
    "probes beyond memory": (
        lambda: gj.draw_probes("gaussian", 10**12, 3, key=KEY),
        "of them; draw fewer",
    ),
    "an identity beyond memory": (
        lambda: gj.frobreg(lambda p, x: jnp.tile(f(p, x)[:, :1], 2**21), PARAMS, X),
        "2097152 · 2097152 of them; estimate the penalty with spectreg",
    ),
    "a masked x": (lambda: gj.frobreg(f, PARAMS, masked(X)), "expected an array without a mask"),
    "masked labels": (lambda: gj.onehot(f, PARAMS, X, masked(Y)), r"pass its \.filled\(value\)"),
    "no key": (lambda: gj.spectreg(f, PARAMS, X), "expected key=jax.random.key"),
    "integers": (lambda: gj.frobreg(f, PARAMS, X.astype(int)), "differentiate the embeddings"),
    "a loss": (lambda: gj.frobreg(lambda p, x: f(p, x).sum(), PARAMS, X), "not a loss"),
    "no function": (lambda: gj.frobreg(PARAMS, f, X), "expected f"),
    "all probes": (
        lambda: gj.spectreg(f, PARAMS, X, num_probes=3, key=jax.random.key(0)),
        "expected num_probes < m = 3",
    ),
    "an unknown mode": (lambda: gj.spectreg(f, PARAMS, X, mode="auto"), "expected mode to be"),
    "a key of nothing": (
        lambda: gj.jacreg(f, PARAMS, X, key=jax.random.key(0)),
        "expected num_probes >= 1 with probe, key or shared_probe",
    ),
    "no weights": (lambda: gj.weight_decay({"b": jnp.zeros(3)}), "two axes or more"),
    "a law of nothing": (lambda: gj.jacreg(f, PARAMS, X, probe="bogus"), "expected probe to be"),
    "probes as a law": (
        lambda: gj.spectreg(f, PARAMS, X, probe=np.ones((5, 3, 1)), key=KEY),
        "expected probe to be one of",
    ),
    "a law beside probes": (
        lambda: gj.spectreg(f, PARAMS, X, probes=np.ones((5, 3, 1)), probe="bogus", key=KEY),
        "expected probe to be",
    ),
    "a law of no probes": (
        lambda: gj.jacreg(f, PARAMS, X, probe="sphere"),
        "expected num_probes >= 1 with probe, key or shared_probe",
    ),
    "three probes that are two": (
        lambda: gj.spectreg(f, PARAMS, X, probes=np.ones((5, 3, 2)), num_probes=3),
        "expected probes with 3 columns, as num_probes says, got 2; leave num_probes out",
    ),
    "one probe that is two": (
        lambda: gj.jacreg(f, PARAMS, X, probes=np.ones((5, 3, 2)), num_probes=1),
        "expected probes with 1 columns, as num_probes says, got 2",
    ),
    "an activation among weights": (
        lambda: gj.weight_decay([W, jax.nn.relu]),
        "expected params whose leaves are floating arrays, got .*; filter them",
    ),
    "a name among weights": (
        lambda: gj.weight_decay({"W": W, "name": "dense"}),
        "expected params whose leaves are floating arrays, got str; filter them",
    ),
    "integers among weights": (
        lambda: gj.weight_decay([W, np.ones((2, 2), np.int32)]),
        "expected params whose leaves are floating arrays, got int32; filter them",
    ),
    "no labels": (lambda: gj.onehot(f, PARAMS, X, None), "expected labels .*, got None"),
    "no labels for a loss": (
        lambda: gj.doubleback(f, PARAMS, X, None),
        "expected labels .*, got None",
    ),
    "no targets": (
        lambda: gj.doubleback(f, PARAMS, X, None, loss="mean_squared_error"),
        "expected y .*, got None",
    ),
    "no examples to draw for": (lambda: gj.draw_probes("gaussian", 0, 3, key=KEY), "expected n to"),
    "no logits to draw for": (lambda: gj.draw_probes("gaussian", 2, 1.5, key=KEY), "expected m to"),
    "no probes to draw": (
        lambda: gj.draw_probes("gaussian", 2, 3, 0, key=KEY),
        "expected num_probes to be a whole number >= 1",
    ),
    "integer probes": (
        lambda: gj.draw_probes("gaussian", 2, 3, key=KEY, dtype=int),
        "expected dtype to be a real floating dtype, got int",
    ),
    "labels beyond any integer": (
        lambda: gj.doubleback(f, PARAMS, X, [10**30] * 5),
        "expected an array of numbers",
    ),
    "complex inputs": (
        lambda: gj.frobreg(f, PARAMS, X + 0j),
        r"x of a real floating dtype, got complex.*; jnp.stack\(\[a.real, a.imag\]",
    ),
    "complex logits": (
        lambda: gj.frobreg(lambda p, x: f(p, x) * 1j, PARAMS, X),
        r"logits of a real floating dtype, got complex.*; jnp.stack\(\[a.real, a.imag\]",
    ),
    "complex probes": (
        lambda: gj.draw_probes("gaussian", 2, 3, key=KEY, dtype=complex),
        "expected dtype to be a real floating dtype, got complex",
    ),
    "a key of three words": (
        lambda: gj.spectreg(f, PARAMS, X, key=np.zeros(3, np.uint32)),
        r"expected key=jax.random.key\(seed\), got uint32 of shape \(3,\); .*wrap_key_data",
    ),
    "several keys of old": (
        lambda: gj.spectreg(f, PARAMS, X, key=np.zeros((5, 2), np.uint32)),
        r"expected one key, got keys of shape \(5,\)",
    ),
    "a yes for a number": (
        lambda: gj.spectreg(f, PARAMS, X, num_probes=np.True_, key=KEY),
        "expected num_probes to be a whole number",
    ),
    "logits and more": (
        lambda: gj.frobreg(lambda p, x: (f(p, x), x), PARAMS, X),
        r"expected f\(params, x\) to return one array, .*, got tuple",
    ),
    "big-endian inputs": (
        lambda: gj.frobreg(f, PARAMS, X.astype(">f4")),
        "expected an array of numbers in the byte order of this machine, got >f4; "
        r".*np\.asarray\(a, float\)",
    ),
    "objects": (
        lambda: gj.frobreg(f, PARAMS, X.astype(object)),
        "expected an array of numbers in the byte order of this machine, got object",
    ),
    "text for labels": (
        lambda: gj.onehot(f, PARAMS, X, np.array(list("abcde"))),
        "expected labels of an integer dtype, got <U1",
    ),
    "big-endian labels": (
        lambda: gj.onehot(f, PARAMS, X, Y.astype(">i8")),
        "expected an array of numbers in the byte order of this machine, got >i8",
    ),
    "text for inputs": (
        lambda: gj.frobreg(f, PARAMS, "x"),
        "expected an array of numbers .*, got str: text",
    ),
    "a root at 0": (
        lambda: gj.frobreg(lambda p, x: jnp.sqrt(f(p, x) - f(p, x)), PARAMS, X),
        r"expected f with a finite Jacobian, got NaN .*√\(t \+ 1e-12\)",
    ),
    "a mean that overflows": (  # the values of the examples are finite
        lambda: gj.frobreg(lambda p, x: 5e18 * x, PARAMS, X),
        r"expected f with a finite Jacobian, got NaN or infinity.*overflow",
    ),
    "a constant": (
        lambda: gj.frobreg(lambda p, x: f(p, X), PARAMS, X),
        "expected f.* to return logits computed from x, got a constant",
    ),
    "a constant under jit": (
        lambda: jax.jit(lambda p: gj.frobreg(lambda p, x: f(p, X), p, X))(PARAMS),
        "expected f.* to return logits computed from x, got a constant",
    ),
    "a constant under grad": (
        lambda: jax.grad(lambda p: gj.frobreg(lambda p, x: f(p, X), p, X))(PARAMS),
        "expected f.* to return logits computed from x, got a constant",
    ),
    "x detached": (
        lambda: jax.jit(
            lambda p: gj.frobreg(lambda p, x: f(p, jax.lax.stop_gradient(x)), p, X, mode="forward")
        )(PARAMS),
        "expected f.* to return logits computed from x, got a constant",
    ),
    "text for labels in a list": (
        lambda: gj.onehot(f, PARAMS, X, list("abcde")),
        r"expected an array .*, got list: text; convert with np\.asarray\(a, float\) \(or int\)",
    ),
    "rows of two lengths": (
        lambda: gj.doubleback(f, PARAMS, X, [[1, 2], [3]], loss="mean_squared_error"),
        "expected an array of numbers in the byte order of this machine, got list: .*sequence",
    ),
    "objects to check": (
        lambda: gj.check_model(f, PARAMS, X.astype(object)),
        "expected an array of numbers in the byte order of this machine, got object",
    ),
    "integers to train": (
        lambda: gj.check_model(lambda p, x: f(p, x) * p["i"], PARAMS | {"i": jnp.arange(3)}, X),
        r"expected params whose leaves are floating arrays, got int32 at \['i'\]",
    ),
    "nothing to train": (
        lambda: gj.check_model(lambda p, x: f(PARAMS, x), {}, X),
        "expected params whose leaves are floating arrays, got no array",
    ),
    "sparse weights": (
        lambda: gj.weight_decay([BCOO.fromdense(W)]),
        "expected a dense array, got BCOO",
    ),
    "sparse weights to check": (
        lambda: gj.check_model(lambda p, x: x @ p, BCOO.fromdense(W), X),
        "expected a dense array, got BCOO",
    ),
    "sparse probes": (
        lambda: gj.spectreg(f, PARAMS, X, probes=BCOO.fromdense(np.ones((5, 3, 1)))),
        "expected a dense array, got BCOO",
    ),
    "logits by name": (
        lambda: gj.frobreg(lambda p, x: {"z": f(p, x)}, PARAMS, X),
        r"expected f\(params, x\) to return one array, .*, got dict",
    ),
}


def test_what_the_messages_advise_is_right():
    expected = gj.frobreg(f, PARAMS, X)
    for other in (X.astype(">f4"), X.astype(object)):
        np.testing.assert_allclose(gj.frobreg(f, PARAMS, np.asarray(other, float)), expected, 1e-6)
    flat = {"W": jnp.zeros((4, 3)), "b": jnp.zeros(3)}
    assert gj.frobreg(f, flat, X) == 0, "computed from x, with J = 0"
    rooted = gj.frobreg(lambda p, x: jnp.sqrt(f(p, x) ** 2 + 1e-12), flat, X)
    assert rooted == 0


@pytest.mark.parametrize("dtype", [np.uint8, np.int8, np.uint16, np.uint32, np.uint64])
def test_labels_of_any_integer_dtype(dtype):
    for penalty in (gj.onehot, gj.doubleback):
        assert penalty(f, PARAMS, X, Y.astype(dtype)) == penalty(f, PARAMS, X, Y)
        assert jax.jit(lambda y, p=penalty: p(f, PARAMS, X, y))(Y.astype(dtype)) > 0
        with pytest.raises(ValueError, match=r"expected labels in \[0, 3\)"):
            penalty(f, PARAMS, X, (Y + 2).astype(dtype))


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    attempt, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        attempt()
