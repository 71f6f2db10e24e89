"""Does an example's output depend on another example's input? Products with some examples answer.

A column r that is zero in some examples has Jᵀr = 0 there, unless examples depend on each other.
Where R is the same for all examples, their derivatives are then added before they are squared.
"""

from itertools import combinations, count, islice
from math import comb
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend.core import ClosedJaxpr, jaxpr_as_fun

from gradreg_jax import arrays

_OF_ROWS = (
    "R is the same for all of them (frobreg, exact jacreg, shared_probe=True), so that their "
    "derivatives are added before they are squared, and cancel: let f use running statistics in "
    "place of statistics of the batch, or take spectreg (or jacreg with num_probes=1), which draws "
    "a probe for each example"
)
_OF_GRAPHS = (
    "pass the batch that f pools by, edges that stay inside a graph, and norms over a graph in "
    "place of norms over the batch"
)


def require_alone(at: Any) -> None:
    """Raise ValueError if examples depend on each other.

    Under `jit`, `grad` or `vmap` an array has no values. The products then have stand-in numbers
    in its place. A function that does not run with such numbers is not tried.
    """
    if at.output.shape[0] == 1:
        return
    program = _program(at)
    try:
        with arrays.values():
            alone = depend_on_own(*_with_values(at, program), at.batch)
    except Exception:  # f may not run with other numbers, or outside its mesh
        return
    if not alone:
        remedy = _OF_GRAPHS if at.batch is not None else _OF_ROWS
        raise ValueError(
            "expected f(params, x) to compute each row of the logits from its own example of x, "
            f"got examples that depend on each other; {remedy}"
        )


def depend_on_own(z: Any, pullback: Any, batch: Any = None) -> bool:
    """Whether products of columns that are zero in some examples are zero there."""
    generic = np.cos(1.0 + np.arange(z.size)).reshape(z.shape)
    for some in _separating(len(z)):
        r = np.where(some.reshape(-1, *[1] * (z.ndim - 1)), generic, 0)
        v = pullback(r.astype(z.dtype))
        others = ~some if batch is None else ~some[np.asarray(batch)]
        if any(_not_zero(np.asarray(leaf)[others]) for leaf in jax.tree.leaves(v)):
            return False
    return True


def _separating(n: int) -> Any:
    """Sets of examples (s, n): for any two examples, one set has the first and not the second.

    Every example has its own binary number of s digits, s // 2 of which are ones; a set for each
    digit. No number has all the ones of another (Sperner), and s is about log₂ n + ½ log₂ log₂ n.
    """
    digits = next(s for s in count(2) if comb(s, s // 2) >= n)
    ones = np.array(list(islice(combinations(range(digits), digits // 2), n)))
    return (ones[:, :, None] == np.arange(digits)).any(axis=1).T


def _not_zero(v: Any) -> bool:
    """Whether an entry is not 0, and no entry is NaN."""
    return bool(v.any()) and bool(np.isfinite(v).all())


def _program(at: Any) -> Any:
    """Trace f once more, where the arrays of its pass have no values.

    None where they have, and where f branches on values of x.
    """
    if all(map(arrays.concrete, (at.output, *jax.tree.leaves(at.x)))):
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


def _with_values(at: Any, program: Any) -> tuple[Any, Any]:
    """Logits and pullback at the values of the pass; a traced array has stand-in numbers."""
    if program is None:
        return at.output, at.pullback
    rng = np.random.default_rng(0)
    consts = [_inside_graphs(_value(c, rng, weight=True), c, at) for c in program.consts]
    network = jaxpr_as_fun(ClosedJaxpr(program.jaxpr, consts))
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
