"""A function exported for batches of any size returns the numbers of the one that was exported."""

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export

pytestmark = pytest.mark.xdist_group("jax")

W = np.random.default_rng(1).standard_normal((5, 4)).astype(np.float32)
KEY = jax.random.key(0)


def f(W, x):
    return jnp.tanh(x @ W)


def spectreg(**options):
    return lambda x, y, r: gj.spectreg(f, W, x, **options)


STEPS = {
    "frobreg": lambda x, y, r: gj.frobreg(f, W, x),
    "probes given": lambda x, y, r: gj.spectreg(f, W, x, probes=r),
    "gaussian": spectreg(key=KEY),
    "frames": spectreg(key=KEY, probe="frames", num_probes=2),
    "doubleback": lambda x, y, r: gj.doubleback(f, W, x, y),
    "projected jacreg": lambda x, y, r: gj.jacreg(f, W, x, num_probes=1, key=KEY),
    "objective": lambda x, y, r: gj.objective(f, W, x, y, penalty=gj.spectreg, key=KEY),
}


@pytest.mark.parametrize("step", STEPS.values(), ids=STEPS)
def test_a_batch_of_any_size(step):
    (n,) = export.symbolic_shape("n")
    shapes = {"x": (n, 5), "y": (n,), "r": (n, 4, 2)}
    dtypes = {"x": jnp.float32, "y": jnp.int32, "r": jnp.float32}
    symbols = [jax.ShapeDtypeStruct(shape, dtypes[name]) for name, shape in shapes.items()]
    exported = export.export(jax.jit(step))(*symbols)
    rng = np.random.default_rng(2)
    for size in (3, 7):
        x, r = (rng.standard_normal((size, *rest)).astype(np.float32) for rest in ((5,), (4, 2)))
        y = (np.arange(size) % 4).astype(np.int32)
        got, expected = exported.call(x, y, r), step(x, y, r)
        jax.tree.map(
            lambda a, b: np.testing.assert_allclose(a, b, rtol=2e-6, atol=1e-6), got, expected
        )
