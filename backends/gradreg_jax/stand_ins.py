"""f at values: at stand-in numbers where `jit`, `grad` or `vmap` has none."""

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


def with_values(at: Any, traced: Any, draw: int, outside: float) -> tuple[Any, list[Any]]:
    """f of the leaves of x, and these leaves; a traced array has stand-in numbers of this draw."""
    leaves, tree = jax.tree.flatten(at.x)
    if traced is None:
        return lambda *x: at.network(jax.tree.unflatten(tree, x)), leaves
    rng = np.random.default_rng(draw)

    def constant(a: Any) -> Any:
        return _inside_graphs(_value(a, rng, draw, weight=True), a, at, outside)

    network = jaxpr_as_fun(ClosedJaxpr(traced.jaxpr, list(map(constant, traced.consts))))
    return lambda *x: network(*x)[0], [_value(leaf, rng, draw) for leaf in leaves]


def _inside_graphs(stand_in: Any, a: Any, at: Any, outside: float) -> Any:
    """Set a stand-in to `outside` between two graphs, if its last axes count rows or graphs.

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
    return jnp.where(graph[a.shape[-2]][:, None] == graph[a.shape[-1]], stand_in, outside)


def _value(a: Any, rng: np.random.Generator, draw: int, weight: bool = False) -> Any:
    """An array itself, or the numbers that stand in for it.

    One integer is a counter (of steps, or of a key) at 0. Of several, each may be the row of
    another example, and a truth value may switch to training: nothing stands in for them.
    """
    if arrays.concrete(a):
        return a
    if jnp.issubdtype(a.dtype, jax.dtypes.prng_key):
        return jax.random.split(jax.random.key(0, impl=jax.random.key_impl(a)), a.shape)
    if jnp.issubdtype(a.dtype, jnp.integer) and a.ndim == 0:
        return jnp.zeros((), a.dtype)
    if not jnp.issubdtype(a.dtype, jnp.inexact):
        raise NotImplementedError(f"no numbers stand in for {a.dtype}")
    numbers = _numbers(a.shape, rng, draw, weight)
    if jnp.issubdtype(a.dtype, jnp.complexfloating):
        numbers = numbers + 1j * _numbers(a.shape, rng, draw, weight)
    return jnp.asarray(numbers, a.dtype)


# Positive numbers, as a variance has a square root; small ones of both signs, at which no
# activation is flat; and large ones.
DRAWS = range(3)
_SIZES = {1: 0.3, 2: 3.0}
FAR = -1e9  # what may stand between two graphs in a matrix that keeps them apart


def _numbers(shape: tuple[int, ...], rng: np.random.Generator, draw: int, weight: bool) -> Any:
    """The numbers of a draw; those of a weight do not grow from layer to layer.

    A square matrix of positive numbers is symmetric and positive definite, as a covariance is.
    """
    inputs = np.prod(shape[:-1]) if weight and len(shape) > 1 else 1
    if draw:
        return rng.normal(0, _SIZES[draw], shape) / np.sqrt(inputs)
    numbers = rng.uniform(0.5, 1.5, shape) / inputs
    if weight and len(shape) == 2 and shape[0] == shape[1]:
        numbers = (numbers + numbers.T) / 2 + np.eye(len(numbers))
    return numbers
