"""A trial of f in a pass of a penalty: is its pullback linear, is each example on its own?

A rule of `jax.custom_vjp` may clip, normalise, rectify or select gradients. It is then linear for
small r alone, for positive factors alone, or in no sum: Jᵀ(c (r − 2 s)) is not c (Jᵀr − 2 Jᵀs) for
a large negative c. A power of two is exact, but for overflow.
"""

from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from gradreg_jax import arrays
from gradreg_jax.examples import depend_on_own, halves, separating
from gradreg_jax.stand_ins import DRAWS, FAR, has_values, traced_again, with_values

LARGE = -1024.0
_LIMIT = 0.01  # a solver in a rule stops at a tolerance
_FACTORS = 0.7, 1.3, 3.0  # no powers of two: they show rounding
_MOST = 8  # of the rounding that showed
_NOT_LINEAR = (
    "expected derivatives that are linear in the gradient that they are given, got an f that "
    "clips, normalises, rectifies, rounds or selects gradients (by a rule of jax.custom_vjp, "
    "say): the penalty would be computed for another function; leave this out of the f that is "
    "penalised, and change the gradients of parameters"
)
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


def require_right(at: Any, alone: bool) -> None:
    """Raise ValueError for a pullback that is not linear; if asked, where examples are not alone.

    Under `jit`, `grad` or `vmap` an array has no values. f is then traced once more, if examples
    must be alone, and the products have stand-in numbers. A function that does not run with such
    numbers is not tried.
    """
    alone = alone and at.output.shape[0] != 1
    if not alone and (at.mode == "forward" or not has_values(at)):
        return
    traced = traced_again(at)
    if alone and _coupled(at, traced):
        remedy = _OF_GRAPHS if at.batch is not None else _OF_ROWS
        raise ValueError(
            "expected f(params, x) to compute each row of the logits from its own example of x, "
            f"got examples that depend on each other; {remedy}"
        )
    if _tried(lambda: _is_linear(*_back(at, traced))) is False:
        raise ValueError(_NOT_LINEAR)


def _coupled(at: Any, traced: Any) -> bool:
    """Whether the numbers of the pass, or stand-ins for them, show that examples are not alone.

    One draw of stand-ins may show nothing: an activation is flat there, or a root has no value. A
    traced matrix may keep graphs apart by zeros, or by large numbers, as distances and the masks of
    attention do. Where examples are alone at large numbers, the matrix is of this kind.
    """
    for draw in DRAWS if traced is not None else (0,):
        if _tried(partial(_alone, at, traced, draw)) is False and (
            at.batch is None or _tried(partial(_alone, at, traced, draw, FAR)) is not True
        ):
            return True
    return False


def _tried(answer: Callable[[], bool | None]) -> bool | None:
    """The answer at concrete numbers; None where f does not run with them, or outside its mesh."""
    try:
        with arrays.values():
            return answer()
    except Exception:
        return None


def _alone(at: Any, traced: Any, draw: int = 0, outside: float = 0.0) -> bool | None:
    """Whether each example depends on its own x alone, by products in the mode of the penalty.

    None where no product is a number other than 0.
    """
    n = at.output.shape[0]
    sets = halves(n) if draw else separating(n)
    if at.mode == "reverse":
        z, pullback = _back(at, traced, draw, outside)
        return depend_on_own([z], pullback, sets, at.batch)
    network, x = with_values(at, traced, draw, outside)
    return depend_on_own(x, lambda *v: jax.jvp(network, tuple(x), v)[1], sets)


def _back(at: Any, traced: Any, draw: int = 0, outside: float = 0.0) -> tuple[Any, Any]:
    """Logits and pullback at the numbers of the pass, or at stand-ins."""
    if traced is None:
        return at.output, at.pullback
    network, x = with_values(at, traced, draw, outside)
    z, pullback = jax.vjp(network, *x)
    return z, pullback


def _is_linear(z: Any, pullback: Any) -> bool:
    """Whether the product with a large sum of columns is the multiple of the sum of two products.

    float16 is not tried: it overflows, and loses small gradients. Nor is a product whose terms
    cancel, so that it is rounding alone.
    """
    k = 1.0 + np.arange(z.size).reshape(z.shape)
    r, s = (jnp.zeros_like(z) + np.cos(a).astype(z.dtype) for a in (k, k * k))
    if jnp.float16 in [z.dtype, *(leaf.dtype for leaf in jax.tree.leaves(pullback(r)))]:
        return True
    # Where the square of a product underflows, the product may have lost digits.
    floor = float(np.finfo(np.float64 if z.dtype == jnp.float64 else np.float32).tiny) ** 0.5

    def back(column: Any) -> Any:
        leaves = jax.tree.leaves(pullback(column))
        return np.concatenate([np.ravel(leaf).astype(float) for leaf in leaves])

    def differ(some: Any, others: Any, floor: float) -> bool:
        size = max(float(np.linalg.norm(others)), floor)
        return bool(np.linalg.norm(some - others) > _LIMIT * size)

    at_r, at_s = back(r), back(s)
    expected, got = LARGE * (at_r - 2 * at_s), back(LARGE * (r - 2 * s))
    # Where both terms cancel, what they are off by is a larger part of their sum.
    terms = -LARGE * float(np.hypot(np.linalg.norm(at_r), 2 * np.linalg.norm(at_s)))
    if not differ(expected, got, max(floor, terms)):
        return True
    if differ(LARGE * at_r, back(LARGE * r), floor):
        return False
    columns = [(r, at_r), (s, at_s)]
    rounding = [np.linalg.norm(back(c * t) / c - at_t) for c in _FACTORS for t, at_t in columns]
    return bool(np.linalg.norm(expected - got) <= -LARGE * _MOST * max(rounding))
