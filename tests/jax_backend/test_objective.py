"""`objective`: loss, penalty and logits of one pass are those of two."""

from functools import partial

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytestmark = pytest.mark.xdist_group("jax")

RNG = np.random.default_rng(0)
X, W = RNG.normal(size=(4, 5)).astype(np.float32), RNG.normal(size=(5, 3)).astype(np.float32)
Y, KEY = np.array([0, 1, 2, 0]), jax.random.key(3)
TARGETS = RNG.normal(size=(4, 3)).astype(np.float32)


def f(W, x):
    return jnp.tanh(x @ W)


def cross_entropy(z, y):
    return -jnp.take_along_axis(jax.nn.log_softmax(z), y[:, None], axis=1).mean()


ALONE = {
    "frobreg": (gj.frobreg, lambda W: gj.frobreg(f, W, X)),
    "spectreg": (gj.spectreg, lambda W: gj.spectreg(f, W, X, key=KEY)),
    "spectreg, forward": (
        partial(gj.spectreg, mode="forward", probe="sphere"),
        lambda W: gj.spectreg(f, W, X, key=KEY, mode="forward", probe="sphere"),
    ),
    "doubleback": (gj.doubleback, lambda W: gj.doubleback(f, W, X, Y)),
    "jacreg": (
        partial(gj.jacreg, num_probes=1),
        lambda W: gj.jacreg(f, W, X, num_probes=1, key=KEY),
    ),
    "onehot": (
        partial(gj.onehot, reduction="sum"),
        lambda W: gj.onehot(f, W, X, Y, reduction="sum"),
    ),
    "contract": (
        partial(gj.contract, R=lambda z, y: jax.nn.one_hot(y, 3)[:, :, None]),
        lambda W: gj.onehot(f, W, X, Y),
    ),
}


@pytest.mark.parametrize("name", ALONE)
def test_value_and_gradient_are_those_of_the_parts(name):
    penalty, alone = ALONE[name]
    key = KEY if name.startswith(("spectreg", "jacreg")) else None

    def together(W):
        o = gj.objective(f, W, X, Y, penalty=penalty, key=key)
        return o.loss + 0.5 * o.penalty, o

    gradient, o = jax.jit(jax.grad(together, has_aux=True))(W)
    expected = jax.grad(lambda W: cross_entropy(f(W, X), Y) + 0.5 * alone(W))(W)
    np.testing.assert_allclose(gradient, expected, rtol=2e-5, atol=1e-6)
    np.testing.assert_allclose(o.loss, cross_entropy(f(W, X), Y), rtol=1e-6)
    np.testing.assert_allclose(o.penalty, alone(W), rtol=1e-5)
    np.testing.assert_allclose(o.logits, f(W, X), rtol=1e-6)


def test_f_is_called_once():
    calls = []

    def counted(W, x):
        calls.append(1)
        return f(W, x)

    gj.objective(counted, W, X, Y, penalty=gj.spectreg, key=KEY)
    assert len(calls) == 1


def test_doubleback_takes_the_loss_of_the_objective():
    o = gj.objective(f, W, X, TARGETS, penalty=gj.doubleback, loss="mean_squared_error")
    alone = gj.doubleback(f, W, X, TARGETS, loss="mean_squared_error")
    np.testing.assert_allclose(o.penalty, alone, rtol=1e-6)
    np.testing.assert_allclose(o.loss, ((f(W, X) - TARGETS) ** 2).mean(), rtol=1e-6)


def test_probabilities_and_a_loss_of_one_s_own():
    rows = np.full((4, 3), 1 / 3, np.float32)
    o = gj.objective(f, W, X, rows, penalty=gj.frobreg)
    np.testing.assert_allclose(o.loss, -jax.nn.log_softmax(f(W, X)).mean(), rtol=1e-6)
    assert gj.objective(f, W, X, Y, penalty=gj.frobreg, loss=cross_entropy).loss == cross_entropy(
        f(W, X), Y
    )


REFUSED = {
    "a name": (
        {"penalty": "spectreg"},
        "expected penalty to be one of frobreg, .*functools[.]partial of one",
    ),
    "a function": ({"penalty": lambda f, p, x: 0.0}, "expected penalty to be one of"),
    "an array": ({"penalty": W}, "expected penalty to be one of"),
    "a number for a loss": (
        {"penalty": gj.frobreg, "loss": 3},
        "expected loss to be one of cross_entropy",
    ),
    "no R": ({"penalty": gj.contract}, "pass penalty=partial\\(contract, R=...\\)"),
    "a batch that is none": (
        {"penalty": partial(gj.frobreg, batch=3)},
        r"expected batch of an integer dtype with shape \(4,\)",
    ),
    "shared by a word": (
        {"penalty": partial(gj.spectreg, shared_probe="False"), "key": KEY},
        "expected shared_probe=True or False, got 'False'",
    ),
    "shared by a word, exact": (
        {"penalty": partial(gj.jacreg, shared_probe="False")},
        "expected shared_probe=True or False, got 'False'",
    ),
    "no key": ({"penalty": gj.spectreg}, "expected key=jax.random.key"),
    "a loss each": ({"penalty": gj.frobreg, "loss": lambda z, y: z}, "to return a scalar"),
    "an unknown loss": ({"penalty": gj.frobreg, "loss": "hinge"}, "expected loss to be one of"),
    "two losses": (
        {"penalty": gj.doubleback, "loss": cross_entropy},
        "penalty=partial\\(doubleback, loss='cross_entropy'\\)",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    options, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        gj.objective(f, W, X, Y, **options)


def test_the_remedy_for_two_losses():
    penalty = partial(gj.doubleback, loss="cross_entropy")
    o = gj.objective(f, W, X, Y, penalty=penalty, loss=cross_entropy)
    assert o.penalty == gj.doubleback(f, W, X, Y)


def test_a_step_needs_the_arithmetic_of_code_by_hand():
    """Before XLA optimises it; a pass for the loss and one for the penalty need more."""
    rng = np.random.default_rng(1)
    x = rng.normal(size=(16, 20)).astype(np.float32)
    y = rng.integers(0, 5, 16)
    weights = [rng.normal(size=s).astype(np.float32) / 4 for s in ((20, 32), (32, 32), (32, 5))]

    def network(W, x):
        h = x @ W[0]
        h = jax.nn.relu((h - h.mean(0)) * jax.lax.rsqrt(h.var(0) + 1e-5))
        return jax.nn.relu(h + jax.nn.gelu(h @ W[1])) @ W[2]

    def together(W):
        o = gj.objective(network, W, x, y, penalty=gj.spectreg, key=KEY)
        return o.loss + o.penalty

    def by_hand(W):
        z, pullback = jax.vjp(lambda x: network(W, x), x)
        (v,) = pullback(jax.random.normal(KEY, z.shape))
        return cross_entropy(z, y) + (v**2).sum() / len(x)

    def apart(W):
        return cross_entropy(network(W, x), y) + gj.spectreg(network, W, x, key=KEY)

    def operations(f):
        return jax.jit(jax.grad(f)).lower(weights).cost_analysis()["flops"]

    assert operations(together) < 1.02 * operations(by_hand) < operations(apart)


def test_a_masked_class_has_no_part_in_the_loss():
    """Its log p is -inf, and its y is 0."""

    def masked(W, x):
        return jnp.where(jnp.array([True, True, False]), f(W, x), -jnp.inf)

    def ours(W):
        return gj.objective(masked, W, X, Y % 2, penalty=gj.spectreg, key=KEY).loss

    def theirs(W):
        return cross_entropy(f(W, X)[:, :2], Y % 2)

    for way in (jax.jit, lambda loss: jax.jit(jax.grad(loss))):
        np.testing.assert_allclose(way(ours)(W), way(theirs)(W), rtol=1e-5, atol=1e-6)
    with pytest.raises(ValueError, match="to mask a class use -1e4"):
        ours(W)
