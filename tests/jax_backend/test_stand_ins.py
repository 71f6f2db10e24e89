"""Examples that depend on each other are seen under `jit`, at whatever numbers f is flat."""

from functools import partial

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytestmark = pytest.mark.xdist_group("jax")

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.standard_normal((6, 5)) / 4, jnp.float32)
PARAMS = {
    "W": jnp.asarray(RNG.standard_normal((5, 6)) / 2, jnp.float32),
    "b": jnp.zeros(6),
    "V": jnp.asarray(RNG.standard_normal((6, 3)), jnp.float32),
    "S": 2 * jnp.eye(5) + 0.1,
    "C": jnp.asarray(RNG.standard_normal((5, 6)) + 0.3j, jnp.complex64),
}
SEEN = "depend on each other"


def centred(h):
    """With a statistic of the batch."""
    return h - h.mean(0)


def solved(S, x):
    return jax.scipy.linalg.cho_solve((jnp.linalg.cholesky(S), True), x.T).T


# What comes before the statistic: flat, or without a value, at numbers of one kind.
FLAT = {
    "hard tanh": lambda p, x: jax.nn.hard_tanh(x @ p["W"] + p["b"]),
    "negative": lambda p, x: jax.nn.relu(-(x @ p["W"])),
    "clipped": lambda p, x: jnp.clip(x, -0.4, 0.4) @ p["W"],
    "above two": lambda p, x: jax.nn.relu(8 * x @ p["W"] - 2),
    "root": lambda p, x: jnp.sqrt(1 - x**2) @ p["W"],
    "covariance": lambda p, x: jnp.tanh(solved(p["S"], x) @ p["W"]),
    "complex": lambda p, x: abs(x @ p["C"]),
    "variance": lambda p, x: x @ jnp.sqrt(p["S"] - 0.05),
}


@pytest.mark.parametrize("way", [jax.jit, jax.grad])
@pytest.mark.parametrize("beside", [False, True], ids=["alone", "beside a skip connection"])
@pytest.mark.parametrize("name", FLAT)
def test_a_statistic_of_the_batch_behind_what_is_flat_somewhere(name, beside, way):
    def f(p, x):
        h = centred(FLAT[name](p, x))[:, :5] + (jnp.tanh(x) if beside else 0)
        return h @ p["V"][:5]

    real = {k: v for k, v in PARAMS.items() if k != "C"}
    with pytest.raises(ValueError, match=SEEN):
        way(lambda p, x: gj.frobreg(f, PARAMS | p, x))(PARAMS if way is jax.jit else real, X)


@pytest.mark.parametrize("name", FLAT)
def test_without_it_they_are_right(name):
    def f(p, x):
        return FLAT[name](p, x)[:, :5] @ p["V"][:5]

    eager, jitted = (way(partial(gj.frobreg, f))(PARAMS, X) for way in (lambda g: g, jax.jit))
    np.testing.assert_allclose(jitted, eager, rtol=1e-5)


@pytest.mark.parametrize("way", [lambda g: g, jax.jit])
@pytest.mark.parametrize("penalty", [gj.frobreg, gj.jacreg])
def test_forward_mode_has_a_trial_of_its_own(penalty, way):
    """A `while_loop` has no pullback."""

    def f(p, x):
        _, x = jax.lax.while_loop(lambda s: s[0] < 2, lambda s: (s[0] + 1, jnp.sin(s[1])), (0, x))
        return centred(jnp.tanh(x @ p["W"])) @ p["V"]

    with pytest.raises(ValueError, match=SEEN):
        way(lambda p: penalty(f, p, X, mode="forward"))(PARAMS)


BATCH = np.array([0, 0, 1, 1, 2, 2])
APART = BATCH[:, None] != BATCH


def pooled(h, p):
    return jax.ops.segment_sum(h, BATCH, num_segments=3) @ p["W"] @ p["V"]


# Matrices that keep graphs apart, and what f makes of them.
MATRICES = {
    "a mask of attention": (np.where(APART, -1e9, 0), lambda a, x: jax.nn.softmax(x @ x.T + a)),
    "distances": (np.where(APART, 1e4, 1), lambda a, x: jnp.exp(-(a**2))),
    "an adjacency": (np.where(APART, 0, 1), lambda a, x: a),
}


@pytest.mark.parametrize("of_batch", [False, True])
@pytest.mark.parametrize("name", MATRICES)
def test_a_traced_matrix_that_keeps_graphs_apart(name, of_batch):
    matrix, weights = MATRICES[name]

    @jax.jit
    def penalty(p, a):
        def f(p, x):
            x = centred(x) if of_batch else x
            return pooled(weights(a, x) @ x, p)

        return gj.frobreg(f, p, X, batch=BATCH)

    if of_batch:
        with pytest.raises(ValueError, match="edges that stay inside a graph"):
            penalty(PARAMS, matrix.astype(np.float32))
    else:
        with jax.disable_jit():
            eager = penalty(PARAMS, matrix.astype(np.float32))
        np.testing.assert_allclose(penalty(PARAMS, matrix.astype(np.float32)), eager, rtol=1e-5)
