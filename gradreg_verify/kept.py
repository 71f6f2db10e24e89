"""Numbers of the reference that are used again: each is computed once."""

import hashlib
import pickle
from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")
_MOST = 20_000  # results, of a few numbers each


def kept(f: Callable[P, T]) -> Callable[P, T]:
    """A function of arguments that can be pickled, computed once for arguments of equal content.

    Nobody may change what it returns.
    """
    memory: dict[bytes, T] = {}

    @wraps(f)
    def remembered(*args: P.args, **options: P.kwargs) -> T:
        key = hashlib.sha256(pickle.dumps((args, options))).digest()
        if key not in memory:
            if len(memory) >= _MOST:
                memory.clear()
            memory[key] = f(*args, **options)
        return memory[key]

    return remembered
