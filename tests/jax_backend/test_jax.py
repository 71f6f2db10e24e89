"""The JAX functions as JAX users call them; the claims run on them in tests/test_*.py."""

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gradreg_jax.backend import JaxBackend

import gradreg_ref as ref
from gradreg_ref.verify import BY_ID, Target, bundled

pytestmark = pytest.mark.xdist_group("jax")

X = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)
Y = np.array([0, 1, 2, 0, 1])
W = np.random.default_rng(1).standard_normal((4, 3)).astype(np.float32)
PARAMS = {"W": jnp.asarray(W), "b": jnp.zeros(3)}


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


@pytest.mark.parametrize("e", list(bundled()), ids=str)
def test_a_network_there_and_back(e):
    with jax.enable_x64(True):
        _, params = gj.to_jax(e.network)
        back = gj.from_jax(e.network, params)
        doubled = gj.from_jax(e.network, [2 * a for a in params])
    theta = e.network.parameters()
    np.testing.assert_array_equal(back.parameters(), theta)
    np.testing.assert_array_equal(doubled.parameters(), 2 * theta)
    np.testing.assert_array_equal(back.forward(e.x), e.network.forward(e.x))
    with pytest.raises(ValueError, match="expected params with shapes"):
        gj.from_jax(e.network, params[::-1])


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize("k", [0, 9, 13])
def test_sixteen_bits_lose_no_more_than_they_must(dtype, k):
    target = Target(JaxBackend(), dtypes=(dtype,))
    assert 0 < BY_ID["S14"].check(target, list(bundled())[k]) <= 1


REFUSED = {
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
        "expected num_probes=1",
    ),
    "no weights": (lambda: gj.weight_decay({"b": jnp.zeros(3)}), "two axes or more"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    attempt, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        attempt()
