"""Arrays in JSON without a rounding: integers over a power of two, or float64 in hexadecimal."""

from math import prod
from typing import Any

import numpy as np

from gradreg_ref.typing import Array

_FINEST = 40  # a dyadic array is one of integers / 2^k with k up to this


def encode(a: Array) -> dict[str, Any]:
    """{"shape", "integers", "over": k} for integers / 2^k; else {"shape", "hex"}."""
    flat = np.asarray(a, dtype=float).ravel()
    for k in range(_FINEST + 1):
        with np.errstate(over="ignore"):
            scaled = flat * 2.0**k
        if (scaled == np.rint(scaled)).all() and np.abs(scaled).max(initial=0) < 2**53:
            return {"shape": list(np.shape(a)), "integers": [int(v) for v in scaled], "over": k}
    return {"shape": list(np.shape(a)), "hex": [float(v).hex() for v in flat]}


def decode(data: Any) -> Array:
    """The array.

    Raises
    ------
    ValueError
        No such encoding, or another number of entries than its shape has.
    """
    try:
        shape = tuple(_whole(n, 2**31) for n in data["shape"])
        if "hex" in data:
            flat = np.array([_hexadecimal(text) for text in data["hex"]])
        else:
            scale = 2.0 ** _whole(data["over"], _FINEST)
            flat = np.array([_whole(n, 2**53) for n in data["integers"]], dtype=float) / scale
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"expected an array of shape and integers or hex: {error}") from error
    if min(shape, default=0) < 0 or flat.size != prod(shape):
        raise ValueError(f"expected {prod(shape)} numbers for shape {shape}, got {flat.size}")
    return flat.reshape(shape)


def _whole(n: Any, below: int) -> int:
    """A whole number that float64 holds; int() would round 1.5 down in silence."""
    if type(n) is not int or abs(n) > below:
        raise ValueError(f"expected a whole number up to {below}, got {n!r:.40}")
    return n


def _hexadecimal(text: str) -> float:
    """C's %a, with its 0x; float.fromhex takes 1.5 for 0x1.5, which is 1.3125."""
    if text.lower().lstrip("+-")[:2] not in ("0x", "in", "na"):
        raise ValueError(f"expected a number in hexadecimal, as 0x1.8p+1, got {text!r:.40}")
    return float.fromhex(text)
