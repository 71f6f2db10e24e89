"""Logits and pullback at values: at stand-in numbers where `jit`, `grad` or `vmap` has none."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from gradreg_jax import arrays


def has_values(at: Any) -> bool:
    """Whether x and the output have values to read."""
    return all(map(arrays.concrete, (at.output, *jax.tree.leaves(at.x))))


def traced_again(at: Any) -> Any:
    """Trace f once more, where the arrays of its pass have no values.

    None where they have, and where f branches on values of x.
    """
    if has_values(at):
        return None
    try:
        return jax.make_jaxpr(at.network)(at.x)
    except (jax.errors.JAXTypeError, jax.errors.JAXIndexError):
        return None
    except Exception as error:
        first = str(error).partition("\n")[0]
        raise ValueError(
            "expected f(params, x) that runs a second time, which shows whether examples depend on "
            f"each other, got {type(error).__name__}: {first}; let f change "
            "nothing outside itself: with Equinox take eqx.nn.inference_mode(model), or clone the "
            "state in f"
        ) from error


def with_values(at: Any, traced: Any) -> tuple[Any, Any]:
    """Logits and pullback at the values of the pass; a traced array has stand-in numbers."""
    if traced is None:
        return at.output, at.pullback
    rng = np.random.default_rng(0)
    consts = [_inside_graphs(_value(c, rng, weight=True), c, at) for c in traced.consts]
    network = jaxpr_as_fun(ClosedJaxpr(traced.jaxpr, consts))
    inputs = [_value(leaf, rng) for leaf in jax.tree.leaves(at.x)]
    z, pullback = jax.vjp(lambda *x: network(*x)[0], *inputs)
    return z, pullback


def _inside_graphs(stand_in: Any, a: Any, at: Any) -> Any:
    """Set a stand-in to 0 between rows of two graphs, if its last axes count rows or graphs.

    The stand-in is for an adjacency or a pooling matrix, whose own zeros keep the graphs apart. A
    parameter is no such matrix: a layer that mixes all rows has a parameter of this shape.
    """
    parameter = any(a is leaf for leaf in jax.tree.leaves(at.params))
    if at.batch is None or arrays.concrete(a) or parameter:
        return stand_in
    n, batch = at.output.shape[0], np.asarray(at.batch)
    graph = {n: np.arange(n), len(batch): batch}
    if a.ndim < 2 or not graph.keys() >= set(a.shape[-2:]):
        return stand_in
    return stand_in * (graph[a.shape[-2]][:, None] == graph[a.shape[-1]])


def _value(a: Any, rng: np.random.Generator, weight: bool = False) -> Any:
    """An array itself, or positive numbers of its shape; a weight is divided by its inputs.

    Positive, as a variance has a square root; divided, as the numbers shall not grow from layer to
    layer. One integer is a counter (of steps, or of a key) at 0. Of several, each may be the row of
    another example, and a truth value may switch to training: nothing stands in for them.
    """
    if arrays.concrete(a):
        return a
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(0, impl=jax.random.key_impl(a)), a.shape)
    if jnp.issubdtype(a.dtype, jnp.integer) and a.ndim == 0:
        return jnp.zeros((), a.dtype)
    if not jnp.issubdtype(a.dtype, jnp.floating):
        raise NotImplementedError(f"no numbers stand in for {a.dtype}")
    inputs = a.size / a.shape[-1] if weight and a.ndim > 1 else 1
    return jnp.asarray(rng.uniform(0.5, 1.5, a.shape) / inputs, a.dtype)
