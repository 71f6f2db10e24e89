"""Check the arguments of the JAX backend. Errors say what was expected and what to do."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from operator import index
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradreg_jax.arrays import array, beyond, concrete, finite, floating, sparse


def inputs(x: Any) -> tuple[Any, int]:
    """Check a pytree of floating arrays (n, …), n >= 1; return x, of arrays of JAX, and n."""
    x = jax.tree.map(array, x, is_leaf=sparse)
    leaves = jax.tree.leaves(x)
    if not leaves:
        raise ValueError("expected x to be an array or a pytree of arrays, got none")
    for leaf in leaves:
        floating("x", leaf)
        if leaf.ndim < 2 or 0 in leaf.shape:
            raise ValueError(
                f"expected x with shape (n, ...) and n >= 1, got {leaf.shape}; "
                "one example is x[None], scalars x[:, None]"
            )
    sizes = {leaf.shape[0] for leaf in leaves}
    if len(sizes) > 1:
        raise ValueError(f"expected inputs of one batch size, got {sorted(sizes)}")
    return x, sizes.pop()


def batch(b: Any, rows: int, n: int) -> Any:
    """Check the example that each row of x belongs to, (N,), of an integer dtype, in [0, n)."""
    b = _whole(b)
    if b.shape != (rows,) or not jnp.issubdtype(b.dtype, jnp.integer):
        raise ValueError(
            f"expected batch of an integer dtype with shape ({rows},), the example that each row "
            f"of x belongs to, got {b.dtype} of shape {b.shape}"
        )
    if got := beyond(b, n):
        raise ValueError(
            f"expected batch in [0, {n}), as f returned logits of {n} examples, got {got}; pass "
            "the batch that f pools by"
        )
    return array(b)


def no_functions(params: Any) -> None:
    """Refuse a module of Equinox whose leaves are functions too."""
    for path, leaf in jax.tree_util.tree_flatten_with_path(params)[0]:
        if callable(leaf):
            raise TypeError(
                "expected params whose leaves are floating arrays, got a function at "
                f"{jax.tree_util.keystr(path)}; split the module, params, static = "
                "eqx.partition(model, eqx.is_inexact_array), and combine them in f"
            )


def trainable(params: Any) -> None:
    """Check parameters: floating arrays, at least one."""
    leaves = jax.tree_util.tree_flatten_with_path(params)[0]
    dtypes = [(jax.tree_util.keystr(path), leaf.dtype) for path, leaf in leaves]
    other = [(path, dtype) for path, dtype in dtypes if not jnp.issubdtype(dtype, jnp.floating)]
    if not leaves or other:
        name, dtype = other[0] if other else ("params", "no array")
        raise TypeError(
            f"expected params whose leaves are floating arrays, got {dtype} at {name}; close f "
            "over what is not trained"
        )


def outputs(z: Any, n: int | None) -> Any:
    """Check an array (n, …) of a real floating dtype; n None is any."""
    if not hasattr(z, "shape"):
        raise ValueError(
            f"expected f(params, x) to return one array, logits with shape ({n or 'n'}, ...), got "
            f"{type(z).__name__}; return the logits alone"
        )
    if z.ndim == 0 or z.shape[0] != (n or z.shape[0]) or 0 in z.shape:
        raise ValueError(
            f"expected f(params, x) to return logits with shape ({n or 'n'}, ...), got {z.shape}; "
            "return the logits, not a loss; where an example has several rows of x (a graph, say), "
            "pass batch=, the example of each row"
        )
    return floating("logits", z, "look for it upstream; to mask a class use -1e4, say, for -inf")


def follows(z: Any, x: Any) -> Any:
    """Refuse logits that do not depend on x: they lack the trace of x."""
    traces = [getattr(leaf, "_trace", None) for leaf in jax.tree.leaves(x)]
    if hasattr(z, "shape") and getattr(z, "_trace", None) not in traces:
        raise ValueError(
            "expected f(params, x) to return logits computed from x, got a constant; "
            "compute them from the x that f is given, with jax.numpy"
        )
    return z


def products(penalties: Any) -> Any:
    """Refuse a penalty that is not finite, if it has values to read."""
    if not finite(penalties):
        raise ValueError(
            "expected f with a finite Jacobian, got NaN or infinity in a product with it; look "
            "for √, a norm or a division at 0 (√(t + 1e-12), say), or for overflow"
        )
    return penalties


@contextmanager
def forward_rules() -> Iterator[None]:
    """Return a context that turns JAX's error about a missing forward rule into a remedy."""
    try:
        yield
    except (TypeError, NotImplementedError) as error:
        # Under reverse mode a custom_vjp function appears as its custom_lin.
        if not any(word in str(error) for word in ("custom_vjp", "custom_lin")):
            raise
        raise TypeError(
            "expected operations with a forward rule, got a custom_vjp function, which has "
            "none; pass mode='reverse', or write it with jax.custom_jvp (and for "
            "gradreg_jax.conv take jax.lax.conv_general_dilated)"
        ) from error


def rows_of_logits(z: Any) -> Any:
    """Check logits (n, k), k > 1, of a penalty with classes."""
    if z.ndim != 2:
        raise ValueError(f"expected logits with shape (n, k), got {z.shape}; reshape f's output")
    if z.shape[1] == 1:
        raise ValueError(
            "expected at least 2 logits, got m = 1: softmax of one logit is always 1; "
            "for a binary problem return the two logits (0, z)"
        )
    return z


def labels(y: Any, n: int, m: int) -> Any:
    """Check class labels (n,) in [0, m), of an integer dtype."""
    if y is None:
        raise TypeError(f"expected labels with shape ({n},), got None; pass y")
    y = _whole(y)
    if y.shape != (n,):
        raise ValueError(
            f"expected labels with shape ({n},), got {y.shape}; one class index per example"
        )
    if not jnp.issubdtype(y.dtype, jnp.integer):
        raise TypeError(f"expected labels of an integer dtype, got {y.dtype}; use .astype(int)")
    if got := beyond(y, m):
        raise ValueError(f"expected labels in [0, {m}), got {got}; classes count from 0")
    return array(y)


def _whole(a: Any) -> Any:
    """An array, in which integers of 8 and 16 bits are of 32: they are compared with a size.

    An array of NumPy stays one: without float64, JAX would turn 2³² into 0.
    """
    a = a if isinstance(a, np.ndarray) else array(a)
    small = jnp.issubdtype(a.dtype, jnp.integer) and a.dtype.itemsize < 4
    return a.astype(np.int32) if small else a


def probes(r: Any, n: int, m: int, shared: bool, dtype: Any) -> Any:
    """Check probes r[n, k, q] of that dtype, k over the m logits; r[1, k, q] if shared."""
    r, batch = floating("probes", r), 1 if shared else n
    if r.ndim != 3 or r.shape[:2] != (batch, m) or r.shape[2] == 0:
        hint = (
            "for one set of probes for the whole batch pass shared_probe=True"
            if r.ndim == 3 and r.shape[0] == 1 and not shared
            else "for one probe per example pass probes[:, :, None]"
        )
        raise ValueError(f"expected probes with shape ({batch}, {m}, q), got {r.shape}; {hint}")
    return r.astype(dtype)


def key(k: Any) -> Any:
    """Check a key: randomness is an argument."""
    if k is None:
        raise TypeError(
            "expected key=jax.random.key(seed), got None; randomness is always passed in "
            "(or pass probes= themselves)"
        )
    dtype = getattr(k, "dtype", None)
    if dtype == jnp.uint32:  # a key as jax.random.PRNGKey makes it
        try:
            k = jax.random.wrap_key_data(k)
        except TypeError as error:
            raise TypeError(
                f"expected key=jax.random.key(seed), got uint32 of shape {k.shape}; convert the "
                "numbers of another kind of key by jax.random.wrap_key_data(numbers, impl=...)"
            ) from error
    elif dtype is None or not jnp.issubdtype(dtype, jax.dtypes.prng_key):
        raise TypeError(f"expected key=jax.random.key(seed), got {k!r:.60}")
    if k.shape:
        raise ValueError(
            f"expected one key, got keys of shape {k.shape}; take one of them, or jax.vmap over "
            "them"
        )
    return k


def choice(name: str, value: Any, known: Iterable[str]) -> Any:
    """Check that a name is one of the known names."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"expected {name} to be one of {', '.join(known)}; got {value!r:.60}")
    return value


def flag(name: str, value: Any) -> bool:
    """Check a truth value."""
    if not isinstance(value, bool):
        raise TypeError(f"expected {name}=True or False, got {value!r}{_static(value)}")
    return value


def count(name: str, value: Any) -> int:
    """Check a positive whole number."""
    try:
        whole = 0 if isinstance(value, bool) else index(value)
    except TypeError:
        whole = 0
    if whole < 1:
        raise ValueError(
            f"expected {name} to be a whole number >= 1, got {value!r}{_static(value)}"
        )
    return whole


def _static(option: Any) -> str:
    """Return what to do about an option that is an argument of a function under `jit`."""
    return "" if concrete(option) else "; name it in static_argnames of jax.jit, or close over it"
