"""`chunk_size` changes how many rows of J are held at once, and no number."""

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytestmark = pytest.mark.xdist_group("jax")

N, I, H, M = 4, 5, 6, 7
KEY = jax.random.key(0)


def whole(seed, *shape):
    """1 or 2: sums of their products, and means of four, are exact in float64."""
    return np.random.default_rng(seed).integers(1, 3, shape).astype(float)


PARAMS, X = {"W": whole(0, I, H), "V": whole(1, H, M)}, whole(2, N, I)
R, V = whole(3, N, M, 4), whole(4, N, I, 4)


def f(p, x):
    return (x @ p["W"]) ** 2 @ p["V"]


def smooth(p, x):
    """Where softmax is taken, nothing is exact."""
    return jnp.tanh(x @ p["W"] / 8) @ p["V"] / 8


EXACT = {
    "frobreg": lambda p, **c: gj.frobreg(f, p, X, **c),
    "frobreg, any rank": lambda p, **c: gj.frobreg(lambda p, x: f(p, x)[:, :, None], p, X, **c),
    "spectreg": lambda p, **c: gj.spectreg(f, p, X, probes=R, **c),
    "spectreg, shared": lambda p, **c: gj.spectreg(f, p, X, probes=R[:1], shared_probe=True, **c),
    "spectreg, forward": lambda p, **c: gj.spectreg(f, p, X, probes=V, mode="forward", **c),
}
ROUNDED = {
    "jacreg": lambda p, **c: gj.jacreg(smooth, p, X, **c),
    "jacreg, projected": lambda p, **c: gj.jacreg(smooth, p, X, probes=R, **c),
    "spectreg, drawn": lambda p, **c: gj.spectreg(smooth, p, X, key=KEY, num_probes=3, **c),
}


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 9])
@pytest.mark.parametrize("name", EXACT | ROUNDED)
def test_chunks_change_no_value_and_no_gradient(name, chunk_size):
    penalty = (EXACT | ROUNDED)[name]
    with jax.enable_x64(True):
        chunked = jax.jit(jax.value_and_grad(lambda p: penalty(p, chunk_size=chunk_size)))(PARAMS)
        at_once = jax.jit(jax.value_and_grad(penalty))(PARAMS)
        got, expected = (list(map(np.asarray, jax.tree.leaves(t))) for t in (chunked, at_once))
    limit = 0 if name in EXACT else 2.0**-46  # 64 roundings
    for a, b in zip(got, expected, strict=True):
        assert a.dtype == np.float64
        np.testing.assert_allclose(a, b, rtol=limit, atol=limit * abs(b).max())


WIDE = {"W": (32, 512), "V": (512, 60)}  # what is kept is mostly of the hidden layer
CHUNKED = {
    "frobreg": gj.frobreg,
    "jacreg": gj.jacreg,
    "spectreg": lambda f, p, x, **c: gj.spectreg(f, p, x, key=KEY, num_probes=30, **c),
    "spectreg, forward": lambda f, p, x, **c: gj.spectreg(
        f, p, x, key=KEY, num_probes=30, mode="forward", **c
    ),
}


@pytest.mark.parametrize("name", CHUNKED)
def test_the_backward_pass_holds_fewer_rows(name):
    """Also with a remainder, as of 60 or 30 columns by 7."""

    def memory(chunk_size):
        def penalty(p, x):
            return CHUNKED[name](smooth, p, x, chunk_size=chunk_size)

        params = {k: jax.ShapeDtypeStruct(shape, jnp.float32) for k, shape in WIDE.items()}
        x = jax.ShapeDtypeStruct((8, 32), jnp.float32)
        program = jax.jit(jax.grad(penalty)).lower(params, x).compile()
        return program.memory_analysis().temp_size_in_bytes

    assert memory(7) < memory(None) / 2


@pytest.mark.parametrize("chunk_size", [0, -1, 1.5, True])
@pytest.mark.parametrize("name", EXACT | ROUNDED)
def test_what_is_no_number_of_columns_is_refused(name, chunk_size):
    with pytest.raises(ValueError, match="expected chunk_size to be a whole number >= 1"):
        (EXACT | ROUNDED)[name](PARAMS, chunk_size=chunk_size)


def test_a_custom_vjp_is_refused_in_chunks_as_well():
    own = jax.custom_vjp(jnp.tanh)
    own.defvjp(lambda h: (jnp.tanh(h), jnp.tanh(h)), lambda y, g: ((1 - y * y) * g,))
    with pytest.raises(TypeError, match="expected operations with a forward rule"):
        gj.spectreg(lambda p, x: own(f(p, x)), PARAMS, X, key=KEY, mode="forward", chunk_size=1)


@pytest.mark.parametrize("name", EXACT)
def test_outside_jit_no_call_compiles_again(name, caplog):
    """A loop of JAX's own would be compiled at every call, and kept."""
    EXACT[name](PARAMS, chunk_size=2)
    with jax.log_compiles():
        EXACT[name](PARAMS, chunk_size=2)
    assert "Compiling" not in caplog.text
