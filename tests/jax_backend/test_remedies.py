"""What a message says to do is done, and works."""

from functools import partial

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.experimental.sparse import BCOO

pytestmark = pytest.mark.xdist_group("jax")

KEY = jax.random.key(0)
RNG = np.random.default_rng(0)
X = RNG.standard_normal((4, 5)).astype(np.float32)
W = RNG.standard_normal((5, 3)).astype(np.float32)
Y = np.array([0, 2, 1, 0])
PROBES = RNG.standard_normal((4, 3, 1)).astype(np.float32)
TABLE = RNG.standard_normal((7, 5)).astype(np.float32)
TOKENS = np.array([1, 0, 6, 3])
GRAPHS = np.array([0, 0, 1, 1])


def f(W, x):
    return jnp.tanh(x @ W)


@jax.custom_vjp
def square(t):
    return t * t


square.defvjp(lambda t: (t * t, t), lambda t, g: (2 * t * g,))


@jax.custom_jvp
def square_by_jvp(t):
    return t * t


square_by_jvp.defjvp(lambda t, dt: (t[0] ** 2, 2 * t[0] * dt[0]))


def pooled(W, x):
    return jax.ops.segment_sum(f(W, x), GRAPHS, num_segments=2)


def one_logit(W, x):
    return f(W, x)[:, :1]


def with_probes(W, q, shared=False):
    return gj.spectreg(f, W, X, num_probes=q, shared_probe=shared, key=KEY)


def by_hand(x):
    """A penalty that `objective` does not know."""
    return lambda W: gj.frobreg(f, W, x)


# What is tried, what the message says, and what is done instead, as a function of W.
CASES = {
    "no key": (
        lambda W: gj.spectreg(f, W, X),
        r"expected key=jax\.random\.key\(seed\)",
        lambda W: gj.spectreg(f, W, X, key=jax.random.key(3)),
    ),
    "no key, probes": (
        lambda W: gj.spectreg(f, W, X),
        r"or pass probes= themselves",
        lambda W: gj.spectreg(f, W, X, probes=PROBES),
    ),
    "several keys, one": (
        lambda W: gj.spectreg(f, W, X, key=jax.random.split(KEY, 2)),
        "take one of them",
        lambda W: gj.spectreg(f, W, X, key=jax.random.split(KEY, 2)[0]),
    ),
    "several keys, vmap": (
        lambda W: gj.spectreg(f, W, X, key=jax.random.split(KEY, 2)),
        r"or jax\.vmap over them",
        lambda W: jax.vmap(lambda key: gj.spectreg(f, W, X, key=key))(
            jax.random.split(KEY, 2)
        ).mean(),
    ),
    "numbers of another key": (
        lambda W: gj.spectreg(f, W, X, key=np.zeros(4, np.uint32)),
        r"jax\.random\.wrap_key_data\(numbers, impl=\.\.\.\)",
        lambda W: gj.spectreg(
            f, W, X, key=jax.random.wrap_key_data(jnp.zeros(4, jnp.uint32), impl="rbg")
        ),
    ),
    "a probe too many": (
        lambda W: gj.spectreg(f, W, X, num_probes=3, key=KEY),
        "use frobreg",
        lambda W: gj.frobreg(f, W, X),
    ),
    "a probe too many, jacreg": (
        lambda W: gj.jacreg(f, W, X, num_probes=3, key=KEY),
        "or jacreg without probes",
        lambda W: gj.jacreg(f, W, X),
    ),
    "a key for the exact form": (
        lambda W: gj.jacreg(f, W, X, key=KEY),
        r"expected num_probes >= 1 .* got num_probes=None",
        lambda W: gj.jacreg(f, W, X, num_probes=1, key=KEY),
    ),
    "num_probes beside probes": (
        lambda W: gj.spectreg(f, W, X, probes=PROBES, num_probes=2),
        "leave num_probes out if you pass probes",
        lambda W: gj.spectreg(f, W, X, probes=PROBES),
    ),
    "a number under jit": (
        lambda W: jax.jit(with_probes)(W, 2),
        "got JitTracer.*; name it in static_argnames of jax.jit",
        lambda W: jax.jit(with_probes, static_argnames="q")(W, 2),
    ),
    "a truth value under jit": (
        lambda W: jax.jit(lambda shared: with_probes(W, 1, shared))(True),
        "got JitTracer.*, or close over it",
        lambda W: jax.jit(lambda: with_probes(W, 1, True))(),
    ),
    "probes for the batch": (
        lambda W: gj.spectreg(f, W, X, probes=PROBES[:1]),
        "pass shared_probe=True",
        lambda W: gj.spectreg(f, W, X, probes=PROBES[:1], shared_probe=True),
    ),
    "probes without columns": (
        lambda W: gj.spectreg(f, W, X, probes=PROBES[:, :, 0]),
        r"pass probes\[:, :, None\]",
        lambda W: gj.spectreg(f, W, X, probes=PROBES[:, :, 0][:, :, None]),
    ),
    "R without columns": (
        lambda W: gj.contract(f, W, X, PROBES[:, :, 0]),
        r"pass R\[:, :, None\]",
        lambda W: gj.contract(f, W, X, PROBES[:, :, 0][:, :, None]),
    ),
    "one example": (
        lambda W: gj.frobreg(f, W, X[0]),
        r"one example is x\[None\]",
        lambda W: gj.frobreg(f, W, X[0][None]),
    ),
    "scalars": (
        lambda W: gj.frobreg(lambda W, x: f(W, x * X), W, X[:, 0]),
        r"scalars x\[:, None\]",
        lambda W: gj.frobreg(lambda W, x: f(W, x * X), W, X[:, 0][:, None]),
    ),
    "integers": (
        lambda W: gj.frobreg(f, W, X.astype(int)),
        r"convert it with \.astype\(float\)",
        lambda W: gj.frobreg(f, W, X.astype(int).astype(float)),
    ),
    "tokens": (
        lambda W: gj.frobreg(lambda W, t: f(W, jnp.asarray(TABLE)[t]), W, TOKENS[:, None]),
        "for token models differentiate the embeddings",
        lambda W: gj.frobreg(f, W, TABLE[TOKENS]),
    ),
    "a mask": (
        lambda W: gj.frobreg(lambda W, x: f(W, x["x"] * x["mask"]), W, {"x": X, "mask": X > 0}),
        r"close f over what is not differentiated \(masks, indices\)",
        lambda W: gj.frobreg(lambda W, x: f(W, x * (X > 0)), W, X),
    ),
    "another byte order": (
        lambda W: gj.frobreg(f, W, X.astype(">f4")),
        r"convert with np\.asarray\(a, float\)",
        lambda W: gj.frobreg(f, W, np.asarray(X.astype(">f4"), float)),
    ),
    "objects": (
        lambda W: gj.frobreg(f, W, X.astype(object)),
        r"convert with np\.asarray\(a, float\)",
        lambda W: gj.frobreg(f, W, np.asarray(X.astype(object), float)),
    ),
    "labels as text": (
        lambda W: gj.onehot(f, W, X, list("0210")),
        r"convert with np\.asarray\(a, float\) \(or int\)",
        lambda W: gj.onehot(f, W, X, np.asarray(list("0210"), int)),
    ),
    "labels as floats": (
        lambda W: gj.onehot(f, W, X, Y.astype(float)),
        r"use \.astype\(int\)",
        lambda W: gj.onehot(f, W, X, Y.astype(float).astype(int)),
    ),
    "labels from 1": (
        lambda W: gj.onehot(f, W, X, Y + 1),
        "classes count from 0",
        lambda W: gj.onehot(f, W, X, Y + 1 - 1),
    ),
    "no labels": (
        lambda W: gj.doubleback(f, W, X, None),
        "got None; pass y",
        lambda W: gj.doubleback(f, W, X, Y),
    ),
    "sparse x": (
        lambda W: gj.frobreg(lambda W, x: jnp.tanh(x @ W), W, BCOO.fromdense(X)),
        r"pass its \.todense\(\), and convert it back inside f if f needs a sparse array",
        lambda W: gj.frobreg(
            lambda W, x: jnp.tanh(BCOO.fromdense(x, nse=X.size) @ W),
            W,
            BCOO.fromdense(X).todense(),
        ),
    ),
    "a tuple of outputs": (
        lambda W: gj.frobreg(lambda W, x: (f(W, x), x), W, X),
        "return the logits alone",
        lambda W: gj.frobreg(lambda W, x: (f(W, x), x)[0], W, X),
    ),
    "a loss": (
        lambda W: gj.frobreg(lambda W, x: f(W, x).mean(), W, X),
        "return the logits, not a loss",
        lambda W: gj.frobreg(f, W, X),
    ),
    "graphs": (
        lambda W: gj.frobreg(pooled, W, X),
        "pass batch=, the example of each row",
        lambda W: gj.frobreg(pooled, W, X, batch=GRAPHS),
    ),
    "graphs in forward mode": (
        lambda W: gj.frobreg(pooled, W, X, batch=GRAPHS, mode="forward"),
        "expected mode='reverse' with batch",
        lambda W: gj.frobreg(pooled, W, X, batch=GRAPHS, mode="reverse"),
    ),
    "a constant": (
        lambda W: gj.frobreg(lambda W, x: f(W, X), W, X),
        "compute them from the x that f is given",
        lambda W: gj.frobreg(lambda W, x: f(W, x), W, X),
    ),
    "a root at 0": (
        lambda W: gj.frobreg(lambda W, x: jnp.sqrt(f(W, x) * 0), W, X),
        r"√\(t \+ 1e-12\), say",
        lambda W: gj.frobreg(lambda W, x: jnp.sqrt(f(W, x) ** 2 + 1e-12), W, X),
    ),
    "one logit": (
        lambda W: gj.jacreg(one_logit, W, X),
        r"return the two logits \(0, z\)",
        lambda W: gj.jacreg(
            lambda W, x: jnp.concatenate([0 * one_logit(W, x), one_logit(W, x)], 1), W, X
        ),
    ),
    "logits of three axes": (
        lambda W: gj.jacreg(lambda W, x: f(W, x)[:, :, None], W, X),
        "reshape f's output",
        lambda W: gj.jacreg(lambda W, x: f(W, x)[:, :, None].reshape(4, 3), W, X),
    ),
    "custom_vjp forwards, reverse": (
        lambda W: gj.spectreg(lambda W, x: square(x @ W), W, X, key=KEY, mode="forward"),
        "pass mode='reverse'",
        lambda W: gj.spectreg(lambda W, x: square(x @ W), W, X, key=KEY, mode="reverse"),
    ),
    "custom_vjp forwards, jvp": (
        lambda W: gj.spectreg(lambda W, x: square(x @ W), W, X, key=KEY, mode="forward"),
        r"or write it with jax\.custom_jvp",
        lambda W: gj.spectreg(lambda W, x: square_by_jvp(x @ W), W, X, key=KEY, mode="forward"),
    ),
    "a penalty of one's own": (
        lambda W: gj.objective(f, W, X, Y, penalty=by_hand(X)),
        "add other penalties to the loss yourself",
        lambda W: gj.objective(f, W, X, Y, penalty=gj.frobreg).loss + by_hand(X)(W),
    ),
    "doubleback beside a loss of one's own": (
        lambda W: gj.objective(f, W, X, Y, penalty=gj.doubleback, loss=lambda z, y: z.mean()),
        r"pass penalty=partial\(doubleback, loss='cross_entropy'\)",
        lambda W: (
            gj.objective(
                f,
                W,
                X,
                Y,
                penalty=partial(gj.doubleback, loss="cross_entropy"),
                loss=lambda z, y: z.mean(),
            ).penalty
        ),
    ),
    "a loss that is no scalar": (
        lambda W: gj.objective(f, W, X, Y, penalty=gj.frobreg, loss=lambda z, y: z),
        "take its mean",
        lambda W: gj.objective(f, W, X, Y, penalty=gj.frobreg, loss=lambda z, y: z.mean()).loss,
    ),
    "targets that would broadcast": (
        lambda W: gj.doubleback(f, W, X, X[:, :1], loss="mean_squared_error"),
        r"expected y with shape \(4, 3\) like the outputs",
        lambda W: gj.doubleback(f, W, X, X[:, :3], loss="mean_squared_error"),
    ),
    "an activation among weights": (
        lambda W: gj.weight_decay([W, jax.nn.relu]),
        "filter them",
        lambda W: gj.weight_decay([leaf for leaf in [W, jax.nn.relu] if hasattr(leaf, "dtype")]),
    ),
    "integers to train": (
        lambda W: gj.check_model(lambda p, x: f(p[0], x)[:, p[1]], (W, np.arange(3)), X),
        "close f over what is not trained",
        lambda W: gj.frobreg(lambda p, x: f(p, x)[:, np.arange(3)], W, X),
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_following_the_message_works(name):
    attempt, message, remedy = CASES[name]
    with pytest.raises((ValueError, TypeError), match=message):
        attempt(W)
    value, gradient = jax.value_and_grad(remedy)(W)
    assert np.isfinite(value)
    assert np.isfinite(gradient).all()
    assert np.abs(gradient).max() > 0
