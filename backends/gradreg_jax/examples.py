"""Does an example's output depend on another example's input? Products with some examples answer.

A column r that is zero in some examples has Jᵀr = 0 there, unless examples depend on each other.
Where R is the same for all examples, their derivatives are then added before they are squared.
"""

from itertools import combinations, count, islice
from math import comb
from typing import Any

import jax
import numpy as np


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
