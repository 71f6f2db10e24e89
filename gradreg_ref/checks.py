"""Check the arguments of the reference. Errors say what was expected and what to do.

Numbers are real. Only a complex step (`gradreg_ref.complex_step`) makes them complex, and its
imaginary parts are far below rounding. An object with rules of its own for NumPy's functions
(`__array_function__`) passes as it is: it may carry a rounding error beside its value.
"""

from collections.abc import Iterable
from difflib import get_close_matches
from math import prod
from re import fullmatch
from sys import float_info
from typing import Any

import numpy as np

from gradreg_ref.typing import Array

# The largest imaginary part of a complex step, relative to the real parts: it changes no digit.
_INFINITESIMAL = 2.0**-100
_MOST_NUMBERS = 2**40
_NEAR = 0.5  # of two names, from which on one may be meant by the other


def as_array(name: str, a: Any) -> Array:
    """Convert lists and subclasses of arrays to a plain array of numbers."""
    if _masked(a):
        raise TypeError(
            f"expected {name} without a mask, got a masked array: a formula would count what the "
            "mask hides; leave those examples out, or fill them with .filled(value)"
        )
    if isinstance(a, np.ndarray) or not hasattr(a, "__array_function__"):
        try:
            a = np.asarray(a)
        except Exception as error:
            raise TypeError(
                f"expected {name} as an array of numbers, got {type(a).__name__}: {error}"
            ) from error
    if a.dtype.kind not in "biufc":
        raise TypeError(
            f"expected {name} as an array of numbers, got dtype {a.dtype}; "
            "make one with numpy.array(..., dtype=float)"
        )
    return a


def _masked(a: Any) -> bool:
    """Return whether a masked array is in a, or in an entry of a list of lists."""
    if isinstance(a, list | tuple):
        return any(_masked(entry) for entry in a)
    return isinstance(a, np.ma.MaskedArray)


def floating(name: str, a: Any) -> Array:
    """Check for finite floats; a complex array must have infinitesimal imaginary parts."""
    a = as_array(name, a)
    if a.dtype.kind not in "fc":
        raise TypeError(
            f"expected {name} of a floating dtype, got {a.dtype}; convert it with .astype(float)"
        )
    if not np.all(np.isfinite(a)):
        raise ValueError(f"expected {name} finite, got NaN or infinity; look for it upstream")
    if a.dtype.kind == "c" and isinstance(a, np.ndarray):
        largest = max(1.0, np.abs(a.real).max(initial=0.0))
        if np.abs(a.imag).max(initial=0.0) > _INFINITESIMAL * largest:
            raise TypeError(
                f"expected {name} real, got {a.dtype} with imaginary parts; pass real and "
                "imaginary parts as two real coordinates (derivatives: gradreg_ref.complex_step)"
            )
    return a


def jacobian(J: Any) -> Array:
    """Check a Jacobian `J[n, k, i]` without empty axes."""
    J = floating("J", J)
    if J.ndim != 3:
        hint = "for one example pass J[None]" if J.ndim == 2 else "flatten logits and inputs"
        raise ValueError(f"expected J with shape (n, k, i), got {J.shape}; {hint}")
    if 0 in J.shape:
        raise ValueError(f"expected J with no empty axis, got {J.shape}; skip empty batches")
    return J


def logits(z: Any, like: Array | None = None) -> Array:
    """Check logits `z[n, k]` against batch and number of logits of the Jacobian `like`."""
    z = floating("logits", z)
    if z.ndim != 2 or 0 in z.shape:
        hint = "for one example pass logits[None]" if z.ndim == 1 else "flatten them, n >= 1"
        raise ValueError(f"expected logits with shape (n, k), got {z.shape}; {hint}")
    if like is not None and z.shape != like.shape[:2]:
        raise ValueError(
            f"expected logits with shape {like.shape[:2]} to match J with shape {like.shape}, "
            f"got {z.shape}; evaluate both at the same inputs"
        )
    return z


def more_than_one_class(m: int) -> None:
    """Refuse one class: a softmax over one class is the constant 1."""
    if m == 1:
        raise ValueError(
            "expected at least 2 logits, got m = 1: softmax of one logit is always 1; "
            "for a binary problem pass the two logits (0, z)"
        )


def labels(y: Any, n: int, m: int) -> Array:
    """Check class labels `y[n]`, integers in [0, m)."""
    y = as_array("labels", y)
    if y.shape != (n,):
        raise ValueError(
            f"expected labels with shape ({n},), got {y.shape}; one class index per example"
        )
    if y.dtype.kind not in "iu":
        raise TypeError(f"expected labels of an integer dtype, got {y.dtype}; use .astype(int)")
    if y.min() < 0 or y.max() >= m:
        raise ValueError(
            f"expected labels in [0, {m}), got {y.min()} to {y.max()}; classes count from 0"
        )
    return y


def probes(r: Any, n: int, m: int, shared: bool) -> Array:
    """Check probes `r[n, k, q]`, or `r[1, k, q]` for the whole batch if `shared`."""
    r = floating("probes", r)
    batch = 1 if shared else n
    if r.ndim != 3 or r.shape[:2] != (batch, m) or r.shape[2] == 0:
        hint = (
            "for one set of probes for the whole batch pass shared_probe=True"
            if r.ndim == 3 and r.shape[0] == 1 and not shared
            else "for one probe per example pass probes[:, :, None]"
        )
        raise ValueError(f"expected probes with shape ({batch}, {m}, q), got {r.shape}; {hint}")
    return r


def choice(name: str, value: Any, known: Iterable[str]) -> Any:
    """Check that a name is one of the known names."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        near = get_close_matches(value, known, 1, _NEAR) if isinstance(value, str) else []
        hint = f"; did you mean {quoted(near)}?" if near else ""
        raise ValueError(f"expected {name} to be one of {quoted(known)}; got {value!r}{hint}")
    return value


def quoted(names: Iterable[str]) -> str:
    """Join names into a list, with quotation marks if a name is more than one word."""
    return ", ".join(name if fullmatch(r"[\w./:+-]+", name) else repr(name) for name in names)


def count(name: str, value: Any, least: int = 1) -> int:
    """Check a whole number, by default a positive one."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
        raise ValueError(f"expected {name} to be a whole number >= {least}, got {value!r}")
    return int(value)


def fitting(what: str, sizes: tuple[int, ...], remedy: str) -> None:
    """Check that a machine may hold as many numbers."""
    if prod(map(int, sizes)) > _MOST_NUMBERS:
        raise ValueError(
            f"expected at most 2⁴⁰ numbers, got {what} with {' · '.join(map(str, sizes))} of them; "
            f"{remedy}"
        )


def flag(name: str, value: Any) -> bool:
    """Check True or False; 0, 1 and other truthy values are refused."""
    if not isinstance(value, bool | np.bool_):
        raise TypeError(f"expected {name} to be True or False, got {value!r}")
    return bool(value)


def number(name: str, value: Any) -> float:
    """Check a finite real number."""
    real = isinstance(value, (int, float, np.integer, np.floating))
    if isinstance(value, bool) or not real or not abs(value) <= float_info.max:
        raise ValueError(f"expected {name} to be a finite number, got {value!r}")
    return float(value)


def no_overflow(values: Any) -> Any:
    """Refuse a penalty that overflowed, as its inputs were finite."""
    if not np.all(np.isfinite(values)):
        raise ValueError("expected a finite penalty, got an overflow; scale the network down")
    return values


def generator(rng: Any) -> np.random.Generator:
    """Check a NumPy generator: randomness is an argument, never global state."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"expected rng=numpy.random.default_rng(seed), got {rng!r}; "
            "randomness is always passed in (or pass probes= themselves)"
        )
    return rng
