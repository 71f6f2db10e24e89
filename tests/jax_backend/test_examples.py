"""Examples that depend on each other: refused where R is the same for all of them."""

from functools import partial

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.sharding import NamedSharding
from jax.sharding import PartitionSpec as P

pytestmark = pytest.mark.xdist_group("jax")

RNG = np.random.default_rng(0)
X = jnp.asarray(RNG.standard_normal((6, 4)), jnp.float32)
PARAMS = {
    name: jnp.asarray(RNG.standard_normal((a, b)), jnp.float32)
    for name, a, b in (("first", 4, 5), ("last", 5, 3))
}
PROBES = jnp.asarray(RNG.standard_normal((1, 3, 1)), jnp.float32)
SAME_R = {
    "frobreg": gj.frobreg,
    "frobreg, forward": partial(gj.frobreg, mode="forward"),
    "jacreg": gj.jacreg,
    "spectreg, one probe": partial(gj.spectreg, probes=PROBES, shared_probe=True),
}
OWN_R = partial(gj.spectreg, key=jax.random.key(0))


def normed(params, x):
    h = x @ params["first"]
    return jnp.tanh((h - h.mean(0)) / h.std(0)) @ params["last"]


def plain(params, x):
    return jnp.tanh(x @ params["first"]) @ params["last"]


def eager(penalty, f):
    return penalty(f, PARAMS, X)


def jitted(penalty, f):
    return jax.jit(lambda params, x: penalty(f, params, x))(PARAMS, X)


def differentiated(penalty, f):
    return jax.grad(lambda params: penalty(f, params, X))(PARAMS)


def both(penalty, f):
    return jax.jit(jax.grad(lambda params, x: penalty(f, params, x)))(PARAMS, X)


def mapped(penalty, f):
    def of(scale):
        return penalty(f, jax.tree.map(lambda p: scale * p, PARAMS), X)

    return jax.vmap(of)(jnp.ones(2))


def closed(penalty, f):
    """Nothing is traced but the program itself."""
    return jax.jit(lambda: penalty(f, PARAMS, X))()


def guarded(penalty, f):
    with jax.transfer_guard("disallow"):
        return jitted(penalty, f)


WAYS = (eager, jitted, differentiated, both, mapped, closed, guarded)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("name", SAME_R)
def test_the_same_R_for_all(name, way):
    with pytest.raises(ValueError, match="got examples that depend on each other; R is the same"):
        way(SAME_R[name], normed)
    way(SAME_R[name], plain)


@pytest.mark.parametrize("way", WAYS)
def test_an_R_for_each(way):
    """What the message advises."""
    way(OWN_R, normed)


@pytest.mark.parametrize(("i", "j"), [(0, 1), (5, 0), (2, 3)])
def test_any_two_examples(i, j):
    def meeting(params, x):
        return plain(params, x.at[i].add(x[j]))

    with pytest.raises(ValueError, match="depend on each other"):
        gj.frobreg(meeting, PARAMS, X)


def test_one_example_has_no_other():
    assert gj.frobreg(lambda params, x: plain(params, x - x.mean(0) / 2), PARAMS, X[:1]) > 0


def test_what_a_compiled_step_closes_over():
    """Running statistics and a dropout key that are traced have numbers of ours in their place."""
    mean, variance = X.mean(0) @ PARAMS["first"], jnp.full(5, 2.0)

    @jax.jit
    def step(params, x, mean, variance, key):
        def running(params, x):
            h = (x @ params["first"] - mean) / jnp.sqrt(variance)
            return jnp.where(jax.random.bernoulli(key, 0.5, h.shape), h, 0) @ params["last"]

        def of_batch(params, x):
            return running(params, x - x.mean(0))

        with pytest.raises(ValueError, match="depend on each other"):
            gj.frobreg(of_batch, params, x)
        return gj.frobreg(running, params, x)

    assert step(PARAMS, X, mean, variance, jax.random.key(0)) > 0


def test_a_counter_of_a_dropout_key():
    """As Flax NNX keeps it: an integer, at which the check was left out."""

    @jax.jit
    def step(params, x, counter):
        def dropped(params, x):
            kept = jax.random.bernoulli(
                jax.random.fold_in(jax.random.key(0), counter), 0.5, x.shape
            )
            return plain(params, jnp.where(kept, x, 0))

        with pytest.raises(ValueError, match="depend on each other"):
            gj.frobreg(lambda params, x: dropped(params, x - x.mean(0)), params, x)
        return gj.frobreg(dropped, params, x)

    assert step(PARAMS, X, 3) > 0


def runs_once(f):
    """f with a state that may be used once, as Equinox's states."""
    state = [f]
    return lambda params, x: state.pop()(params, x)


def test_a_function_that_runs_once():
    """The second run failed, and the check was left out."""
    with pytest.raises(ValueError, match="depend on each other; R is the same"):
        eager(gj.frobreg, runs_once(normed))
    assert eager(gj.frobreg, runs_once(plain)) == eager(gj.frobreg, plain)
    for f in (plain, normed):
        with pytest.raises(
            ValueError, match=r"runs a second time.*IndexError: pop from empty list"
        ):
            jitted(gj.frobreg, runs_once(f))


def test_the_remedy_for_a_state_of_equinox():
    eqx = pytest.importorskip("equinox")
    norm = eqx.nn.BatchNorm(4, axis_name="batch", mode="batch")

    def step(norm, clone):
        def penalty(params, state):
            def f(params, x):
                leaves, tree = jax.tree.flatten(state)
                own = jax.tree.unflatten(tree, leaves) if clone else state
                return plain(params, jax.vmap(lambda row: norm(row, own)[0], axis_name="batch")(x))

            return gj.frobreg(f, params, X)

        return jax.jit(penalty)(PARAMS, eqx.nn.State(norm))

    with pytest.raises(ValueError, match=r"take eqx\.nn\.inference_mode\(model\), or clone"):
        step(norm, clone=False)
    with pytest.raises(ValueError, match="depend on each other; R is the same"):
        step(norm, clone=True)
    assert step(eqx.nn.inference_mode(norm), clone=False) > 0


def branching(params, x):
    return plain(params, x if x[0, 0] > 0 else -x)


def test_a_branch_on_values_of_x():
    """It has no program, though it runs where x has values."""
    assert abs(differentiated(gj.frobreg, branching)["last"]).max() > 0


@pytest.mark.parametrize("traced", [jnp.arange(6)[::-1], jnp.array(False)])
def test_numbers_that_nothing_stands_for(traced):
    """A row of another example, and a switch: other numbers might couple what is not coupled."""

    @jax.jit
    def step(params, x, traced):
        def f(params, x):
            if traced.dtype == bool:
                return jnp.where(traced, normed(params, x), plain(params, x))
            return plain(params, x[traced][traced])

        return gj.frobreg(f, params, x)

    np.testing.assert_allclose(step(PARAMS, X, traced), gj.frobreg(plain, PARAMS, X), rtol=1e-5)


def test_a_function_that_communicates():
    mesh = jax.make_mesh((1,), ("data",))

    @partial(jax.shard_map, mesh=mesh, in_specs=(P(), P("data")), out_specs=P())
    def mean(params, x):
        def f(params, x):
            return plain(params, x) - 0 * jax.lax.pmean(x.sum(), "data")

        return jax.lax.pmean(gj.frobreg(f, params, x), "data")

    everywhere = jax.device_put(PARAMS, NamedSharding(mesh, P()))
    split = jax.device_put(X, NamedSharding(mesh, P("data")))
    np.testing.assert_allclose(mean(everywhere, split), gj.frobreg(plain, PARAMS, X), rtol=1e-5)
