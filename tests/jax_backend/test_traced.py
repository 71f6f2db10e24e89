"""Under jit and vmap nothing can be raised about values: what is wrong becomes NaN."""

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from gradreg_verify import BY_ID, bundled
from gradreg_verify.claims.target import target_of

pytestmark = pytest.mark.xdist_group("jax")

X = np.random.default_rng(0).standard_normal((4, 5)).astype(np.float32)
W = np.random.default_rng(1).standard_normal((5, 3)).astype(np.float32)
Y = np.array([0, 1, 2, 0])
ROWS = np.array([[1, 0, 0], [0.2, 0.3, 0.5], [0, 0, 1], [0, 0.5, 0.505]], np.float32)
PENALTIES = {"onehot": gj.onehot, "doubleback": gj.doubleback}


def f(W, x):
    return jnp.tanh(x @ W)


def with_second(y, entry):
    """The targets with another second entry."""
    y = y.copy()
    y[1] = entry
    return y


def each(penalty):
    """Values of all examples, y an argument."""
    return lambda y: PENALTIES[penalty](f, W, X, y, reduction="none")


@pytest.mark.parametrize("label", [3, -1, 2**31 - 1])
@pytest.mark.parametrize("penalty", PENALTIES)
def test_a_label_out_of_range_is_nan_and_the_others_stay(penalty, label):
    values = jax.jit(each(penalty))
    good, bad = values(Y), values(with_second(Y, label))
    assert np.isfinite(good).all()
    assert np.isnan(bad[1])
    np.testing.assert_array_equal(np.delete(bad, 1), np.delete(good, 1))
    by_rows = jax.vmap(lambda x, y: PENALTIES[penalty](f, W, x[None], y[None]))
    assert np.isnan(by_rows(X, with_second(Y, label))).tolist() == [False, True, False, False]


@pytest.mark.parametrize("penalty", PENALTIES)
def test_and_so_is_its_gradient(penalty):
    gradient = jax.jit(jax.grad(lambda W, y: PENALTIES[penalty](f, W, X, y)))
    assert np.isfinite(gradient(W, Y)).all()
    assert np.isnan(gradient(W, with_second(Y, 3))).any()


@pytest.mark.parametrize("row", [(0.5, 0.5, 0.5), (0, 0, 0), (-0.5, 1, 0.5), (np.inf, 0, 0)])
def test_rows_that_are_no_probabilities(row):
    values = jax.jit(each("doubleback"))
    good, bad = values(ROWS), values(with_second(ROWS, row))
    assert np.isfinite(good).all(), "to 1e-2, as where they can be read"
    assert np.isnan(bad[1])
    np.testing.assert_array_equal(np.delete(bad, 1), np.delete(good, 1))


@pytest.mark.parametrize("penalty", PENALTIES)
def test_s20_holds_of_the_functions_themselves(penalty):
    one = target_of(PENALTIES[penalty], penalty, "jax", "cpu", 4, 60.0, {})
    examples = [e for e in bundled() if e.probes.shape[1] > 1][::3]
    assert [BY_ID["bad-input-refused"].check(one, e) for e in examples] == [0.0] * len(examples)


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("beyond", [2**32, -(2**32)])
def test_labels_are_read_before_they_are_made_32_bits(penalty, beyond):
    with pytest.raises(ValueError, match=r"expected labels in \[0, 3\)"):
        each(penalty)(with_second(Y, beyond))


@pytest.mark.parametrize("transform", [lambda g: g, jax.jit])
@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
def test_labels_of_eight_bits_among_more_classes(dtype, transform):
    """Class 300 is not 44, though it is in eight bits."""
    V = np.arange(300.0, dtype=np.float32)[None]
    value = transform(lambda y: gj.onehot(lambda V, x: x @ V, V, np.ones((1, 1)), y))
    assert value(jnp.array([44], dtype)) == 44**2


@pytest.mark.parametrize("z", [[0.0, -np.inf, 1.0], [3e38, -3e38, 0.0]])
def test_confidence_of_a_class_that_cannot_be(z):
    """p log p goes to 0 with p, and so does its derivative in z."""
    at = jax.jit(jax.value_and_grad(lambda z: gj.confidence_penalty(z[None])))
    value, gradient = at(jnp.array(z))
    likely = np.array([k for k in z if k > -1e38])
    p = np.exp(likely - likely.max()) / np.exp(likely - likely.max()).sum()
    expected = sum(q * np.log(q) for q in p if q > 0)
    assert value == pytest.approx(expected, rel=1e-6)
    assert gradient[int(np.argmin(z))] == 0
    assert np.isfinite(gradient).all()
    with pytest.raises(ValueError, match="expected logits finite"):
        gj.confidence_penalty(np.array([[0.0, -np.inf]]))
