"""`batch=`: an example is a graph, which has several rows of x and one row of logits."""

from functools import partial

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytestmark = pytest.mark.xdist_group("jax")

SIZES = (3, 1, 0, 4, 2)  # nodes; one graph has none
B, M = len(SIZES), 3
RNG = np.random.default_rng(0)
BATCH = RNG.permutation(np.repeat(np.arange(B), SIZES))  # not sorted
EDGES = np.argwhere(np.triu(BATCH[:, None] == BATCH[None], 1)).T
X = RNG.standard_normal((len(BATCH), 4))
PARAMS = {name: RNG.standard_normal((a, b)) / 2 for name, a, b in (("first", 4, 5), ("last", 5, M))}
Y = np.array([0, 2, 1, 1, 0])
PROBES = RNG.standard_normal((B, M, 2))
ONEHOT = np.eye(M)[Y]


def model(params, x, batch=BATCH):
    """Two steps of message passing, and the sum of a graph's nodes."""
    h = jnp.tanh(x @ params["first"])
    h = jnp.tanh(h + jnp.zeros_like(h).at[EDGES[1]].add(h[EDGES[0]]))
    return jax.ops.segment_sum(h, batch, num_segments=B) @ params["last"]


def explicit(params, R):
    """‖J_bᵀR_b‖² of every graph b, from the whole Jacobian."""
    J = jax.jacrev(partial(model, params))(X)
    return (jnp.einsum("nkri,nkq->nriq", J, R) ** 2).sum((1, 2, 3))


def softmax_jacobian(params):
    p = jax.nn.softmax(model(params, X))
    return jax.vmap(jnp.diag)(p) - p[:, :, None] * p[:, None]


CASES = {
    "frobreg": (gj.frobreg, {}, lambda params: jnp.broadcast_to(jnp.eye(M), (B, M, M))),
    "spectreg": (gj.spectreg, {"probes": PROBES}, lambda params: PROBES / 2**0.5),
    "doubleback": (
        gj.doubleback,
        {"y": Y},
        lambda params: (jax.nn.softmax(model(params, X)) - ONEHOT)[:, :, None],
    ),
    "jacreg": (gj.jacreg, {}, softmax_jacobian),
    "onehot": (gj.onehot, {"y": Y}, lambda params: ONEHOT[:, :, None]),
    "contract": (gj.contract, {"R": PROBES}, lambda params: PROBES),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_those_of_the_explicit_jacobian(name):
    fn, options, R = CASES[name]
    with jax.enable_x64(True):
        weights = jnp.arange(1.0, B + 1)

        def got(params, batch=BATCH):
            values = fn(model, params, X, **options, batch=batch, reduction="none")
            return weights @ values, values

        def expected(params):
            values = explicit(params, R(params))
            return weights @ values, values

        a, values = jax.grad(jax.jit(got), has_aux=True)(PARAMS)
        b, right = jax.grad(jax.jit(expected), has_aux=True)(PARAMS)
        np.testing.assert_allclose(values, right, rtol=1e-12)
        assert values[SIZES.index(0)] == 0  # no rows, no inputs, no gradient
        for leaf in PARAMS:
            np.testing.assert_allclose(a[leaf], b[leaf], rtol=1e-12, atol=1e-12)
        for reduction, n in (("mean", B), ("sum", 1)):
            value = fn(model, PARAMS, X, **options, batch=BATCH, reduction=reduction)
            np.testing.assert_allclose(value, right.sum() / n, rtol=1e-12)


def test_the_objective_has_one_pass_for_both():
    penalty = partial(gj.spectreg, probes=PROBES.astype(np.float32))
    one = gj.objective(model, PARAMS, X, Y, penalty=penalty, batch=BATCH)
    np.testing.assert_allclose(
        one.penalty, penalty(model, PARAMS, X, batch=BATCH), rtol=1e-5, atol=0
    )
    assert one.logits.shape == (B, M)
    forward = partial(gj.frobreg, mode="forward")
    with pytest.raises(ValueError, match="expected mode='reverse' with batch"):
        gj.objective(model, PARAMS, X, Y, penalty=forward, batch=BATCH)


def test_the_check_sees_graphs_that_see_each_other_and_another_batch():
    check = partial(gj.check_model, params=PARAMS, x=X)
    penalty = partial(gj.frobreg, batch=BATCH)
    assert check(model, penalty=penalty).alone
    assert not check(lambda p, x: model(p, x - jnp.tanh(x).mean(0)), penalty=penalty).alone
    exchanged = BATCH.copy()
    exchanged[np.argmax(BATCH == 0)] = 4  # which has the parity of 0
    assert not check(model, penalty=partial(gj.frobreg, batch=exchanged)).alone


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (BATCH.astype(float), "got float64 of shape"),
        (BATCH[1:], r"expected batch of an integer dtype with shape \(10,\), .* shape \(9,\)"),
        (BATCH - 1, r"expected batch in \[0, 5\), .* got -1 to 3"),
        (BATCH + 1, "got 1 to 5; pass the batch that f pools by"),
    ],
)
def test_what_is_no_batch_is_refused(bad, message):
    for call in (
        lambda: gj.frobreg(model, PARAMS, X, batch=bad),
        lambda: gj.objective(model, PARAMS, X, Y, penalty=gj.frobreg, batch=bad),
    ):
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.parametrize("off", [-1, 1])
def test_under_jit_a_batch_out_of_range_is_nan(off):
    step = jax.jit(lambda batch: gj.frobreg(model, PARAMS, X, batch=batch))
    np.testing.assert_allclose(step(BATCH), gj.frobreg(model, PARAMS, X, batch=BATCH), rtol=1e-5)
    assert np.isnan(step(BATCH + off))


@pytest.mark.parametrize(("rows", "dtype"), [(256, np.uint8), (128, np.int8), (5, np.int64)])
def test_a_batch_of_few_bits_and_of_many(rows, dtype):
    """As many graphs as their numbers can count."""
    x = RNG.standard_normal((rows, 4)).astype(np.float32)

    def f(params, x):
        return jnp.tanh(x @ params["first"]) @ params["last"]

    alone, batch = gj.frobreg(f, PARAMS, x), np.arange(rows, dtype=dtype)
    for way in (lambda g: g, jax.jit):
        got = way(lambda batch: gj.frobreg(f, PARAMS, x, batch=batch))(batch)
        np.testing.assert_allclose(got, alone, rtol=1e-5)
    if dtype is np.int64:
        with pytest.raises(ValueError, match=r"expected batch in \[0, 5\), .* got 0 to 4294967300"):
            gj.frobreg(f, PARAMS, x, batch=batch + 2**32 * (batch == 4))


def test_without_a_batch_the_message_names_it():
    with pytest.raises(ValueError, match="pass batch=, the example of each row"):
        gj.frobreg(model, PARAMS, X)


@pytest.mark.parametrize("jitted", [False, True])
def test_graphs_that_see_each_other(jitted):
    """A norm over all nodes of a batch: refused for each penalty, as R of one graph reaches all."""

    def normed(params, x):
        return model(params, (x - x.mean(0)) / x.std(0))

    def penalty(params):
        return gj.spectreg(normed, params, X, probes=PROBES, batch=BATCH)

    with pytest.raises(ValueError, match="edges that stay inside a graph"):
        (jax.jit(penalty) if jitted else penalty)(PARAMS)


@pytest.mark.parametrize("of_batch", [False, True])
def test_a_compiled_step_takes_the_matrices_that_link_rows(of_batch):
    """Numbers in the place of the zeros of an adjacency or a pooling matrix would link graphs."""
    links = np.stack(2 * [BATCH[:, None] == BATCH]).astype(np.float32)  # of two kinds
    pool = (np.arange(B)[:, None] == BATCH).astype(np.float32)

    def penalty(params, links, pool):
        def f(params, x):
            h = jnp.tanh(links @ (x - of_batch * x.mean(0)) @ params["first"])
            return pool @ h.sum(0) @ params["last"]

        return gj.frobreg(f, params, X, batch=BATCH)

    if of_batch:
        with pytest.raises(ValueError, match="edges that stay inside a graph"):
            jax.jit(penalty)(PARAMS, links, pool)
    else:
        np.testing.assert_allclose(
            jax.jit(penalty)(PARAMS, links, pool), penalty(PARAMS, links, pool), rtol=1e-5
        )


@pytest.mark.parametrize("transform", [jax.jit, jax.grad, lambda p: jax.jit(jax.grad(p))])
def test_a_layer_that_mixes_the_rows_of_all_graphs_is_refused(transform):
    """Its weight has the shape of an adjacency matrix, and links graphs."""
    mixing = np.random.default_rng(0).normal(size=(len(X), len(X))).astype(np.float32)

    def penalty(params):
        return gj.frobreg(lambda p, x: model(p, p["mixing"] @ x), params, X, batch=BATCH)

    with pytest.raises(ValueError, match="edges that stay inside a graph"):
        transform(penalty)({**PARAMS, "mixing": mixing})
