"""Products with J: softmax's Jacobian is not formed, few columns take no vmap, modes agree."""

from functools import partial

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from gradreg_jax.jacreg import softmax_jacobian
from jax.extend.core import jaxprs_in_params

import gradreg_ref as ref

pytestmark = pytest.mark.xdist_group("jax")

N, I, M = 4, 5, 3
RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(N, I)), RNG.normal(size=(I, M))
Y = np.array([0, 1, 2, 0])
KEY = jax.random.key(0)


def f(W, x):
    return jnp.tanh(x @ W)


def explicit(z):
    """S = diag(p) − p pᵀ, (n, k, l), in float64."""
    p = np.exp(z - z.max(axis=1, keepdims=True))
    p = p / p.sum(axis=1, keepdims=True)
    return np.eye(z.shape[1]) * p[:, :, None] - p[:, :, None] * p[:, None, :]


def test_softmax_s_jacobian_is_the_explicit_one():
    z, r = RNG.normal(size=(N, M)), RNG.normal(size=(N, M))
    with jax.enable_x64(True):
        got = softmax_jacobian(jnp.asarray(z))(jnp.asarray(r))
    np.testing.assert_allclose(got, np.einsum("nkl,nl->nk", explicit(z), r), rtol=1e-12)


@pytest.mark.parametrize("largest", [0, 1, 2])
def test_and_keeps_its_digits_where_float32_is_saturated(largest):
    """p is 1 − 4e-9: in float32 1 − p is 0, and so was JacReg's largest row."""
    z = np.zeros((1, M))
    z[0, largest] = 20.0
    S = softmax_jacobian(jnp.asarray(z, jnp.float32))
    got = np.stack([np.asarray(S(e[None]))[0] for e in np.eye(M, dtype=np.float32)])
    p = np.exp(z[0] - 20) / np.exp(z[0] - 20).sum()
    expected = -np.outer(p, p)
    np.fill_diagonal(expected, [p[k] * np.delete(p, k).sum() for k in range(M)])
    np.testing.assert_allclose(got, expected, rtol=1e-5)


@pytest.mark.parametrize("m", [1, 16, 17])
def test_a_loop_and_a_vmap_give_one_number(m):
    W = RNG.normal(size=(I, m)).astype(np.float32)
    J = np.einsum("ik,nk->nki", W, 1 - np.tanh(X @ W) ** 2)
    np.testing.assert_allclose(gj.frobreg(f, W, X), ref.frobreg(J), rtol=1e-5)


def test_one_column_takes_no_vmap():
    """A batched product has one axis more than any array of the model; here only the probes do."""
    program = jax.make_jaxpr(lambda W, r: gj.spectreg(f, W, X, probes=r))
    found = set(shapes(program(W, np.ones((N, M, 1))).jaxpr))
    assert (N, I) in found
    assert {shape for shape in found if len(shape) > 2} <= {(N, M, 1)}


def shapes(jaxpr):
    """Of every array in a program, nested ones included."""
    for equation in jaxpr.eqns:
        yield from (v.aval.shape for v in equation.outvars)
        for inner in jaxprs_in_params(equation.params):
            yield from shapes(inner)


@pytest.mark.parametrize("chunk_size", [None, 2])
@pytest.mark.parametrize("penalty", [gj.frobreg, gj.jacreg])
def test_forward_mode_of_an_exact_penalty_is_its_reverse(penalty, chunk_size):
    with jax.enable_x64(True):
        for a, b in zip(
            jax.value_and_grad(lambda W: penalty(f, W, X, mode="forward", chunk_size=chunk_size))(
                W
            ),
            jax.value_and_grad(lambda W: penalty(f, W, X))(W),
            strict=True,
        ):
            np.testing.assert_allclose(a, b, rtol=1e-12)


def test_jacreg_at_probes_of_the_inputs():
    V = RNG.normal(size=(N, I, 2))
    J = np.einsum("ik,nk->nki", W, 1 - np.tanh(X @ W) ** 2)
    S_J_V = np.einsum("nkl,nli,niq->nkq", explicit(np.tanh(X @ W)), J, V)
    with jax.enable_x64(True):
        got = gj.jacreg(f, W, X, probes=V, mode="forward", reduction="none")
    np.testing.assert_allclose(got, (S_J_V**2).sum(axis=(1, 2)) / 2, rtol=1e-12)


Z = np.tanh(X @ W)
CALLS = {
    "frobreg": lambda **o: gj.frobreg(f, W, X, **o),
    "spectreg": lambda **o: gj.spectreg(f, W, X, key=KEY, **o),
    "spectreg, shared": lambda **o: gj.spectreg(f, W, X, key=KEY, shared_probe=True, **o),
    "jacreg": lambda **o: gj.jacreg(f, W, X, **o),
    "jacreg, projected": lambda **o: gj.jacreg(f, W, X, key=KEY, num_probes=2, **o),
    "doubleback": lambda **_: gj.doubleback(f, W, X, Y),
    "doubleback of a regression": lambda **_: gj.doubleback(f, W, X, Z, loss="mean_squared_error"),
    "onehot": lambda **_: gj.onehot(f, W, X, Y),
    "contract": lambda **_: gj.contract(f, W, X, Z[:, :, None]),
    "graphs": lambda **_: gj.frobreg(
        lambda W, x: f(W, x).sum(0, keepdims=True), W, X, batch=np.zeros(len(X), int)
    ),
    "objective": lambda **_: gj.objective(f, W, X, Y, penalty=gj.frobreg).loss,
    "check": lambda **_: gj.check_model(f, W, X, Y, penalty=gj.doubleback).penalty,
    "weight decay": lambda **_: gj.weight_decay(W),
    "confidence penalty": lambda **_: gj.confidence_penalty(f(W, X)),
}


@pytest.mark.parametrize("mode", ["reverse", "forward"])
@pytest.mark.parametrize("name", CALLS)
def test_no_rank_is_promoted(name, mode):
    with jax.numpy_rank_promotion("raise"):
        assert np.isfinite(CALLS[name](mode=mode))


IN_ONE_DTYPE = {
    "frobreg": gj.frobreg,
    "frobreg, forward": partial(gj.frobreg, mode="forward"),
    "spectreg": partial(gj.spectreg, key=KEY),
    "jacreg": gj.jacreg,
    "jacreg, projected": partial(gj.jacreg, key=KEY, num_probes=2),
    "jacreg, forward": partial(gj.jacreg, mode="forward"),
    "doubleback": partial(gj.doubleback, y=Y),
    "onehot": partial(gj.onehot, y=Y),
    "objective": lambda *at: gj.objective(*at, Y, penalty=gj.doubleback).loss,
    "confidence penalty": lambda f, W, x: gj.confidence_penalty(f(W, x)),
    "weight decay": lambda f, W, x: gj.weight_decay(W),
}


@pytest.mark.parametrize("dtype", [jnp.bfloat16, jnp.float16, jnp.float32, jnp.float64])
@pytest.mark.parametrize("name", IN_ONE_DTYPE)
def test_no_dtype_is_promoted_but_halves_to_float32(name, dtype):
    """Where float64 is enabled, the loss of a network in float32 was float64."""
    with jax.enable_x64(True), jax.numpy_dtype_promotion("strict"):
        got = IN_ONE_DTYPE[name](f, jnp.asarray(W, dtype), jnp.asarray(X, dtype))
    assert got.dtype == jnp.promote_types(dtype, jnp.float32)
