"""Does an example's output depend on another example's input? Products with some examples answer.

A column r that is zero in some examples has Jᵀr = 0 there, unless examples depend on each other;
in forward mode so has J v. Where R is the same for all examples, their derivatives are then added
before they are squared.
"""

from collections.abc import Callable, Iterable
from itertools import combinations, count, islice
from math import comb
from typing import Any

import jax
import numpy as np


def depend_on_own(
    given: list[Any], product: Callable[..., Any], sets: Iterable[Any], batch: Any = None
) -> bool | None:
    """Whether products of columns that are zero in some examples are zero there.

    None where all products are zero, or no numbers: they say nothing.

    Parameters
    ----------
    given : list of arrays (n, …)
        What columns are like: the logits, in forward mode x.
    product : callable
        From these columns to Jᵀr, or J v.
    sets : iterable of arrays (n,)
        In which examples columns are not zero.
    batch : array (N,), optional
        The example that each row of a product belongs to.
    """
    seen = False
    for some in sets:
        v = list(map(np.asarray, jax.tree.leaves(product(*(_column(a, some) for a in given)))))
        others = ~some if batch is None else ~some[np.asarray(batch)]
        if any(_not_zero(leaf[others]) for leaf in v):
            return False
        seen = seen or any(map(_not_zero, v))
    return True if seen else None


def _column(a: Any, some: Any) -> Any:
    """Numbers of which no sum is zero by chance, and zero outside some examples."""
    generic = np.cos(1.0 + np.arange(a.size)).reshape(a.shape)
    return np.where(some.reshape(-1, *[1] * (a.ndim - 1)), generic, 0).astype(a.dtype)


def halves(n: int) -> list[Any]:
    """Every other example, and the rest: they show statistics of the batch."""
    return [np.arange(n) % 2 == k for k in range(2)]


def separating(n: int) -> Any:
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
