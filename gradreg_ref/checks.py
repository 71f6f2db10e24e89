"""What the reference accepts; everything else gets a sentence that says what to do.

Values may be complex: the reference is evaluated at complex parameters to differentiate it
(`gradreg_ref.complex_step`). Objects that behave like arrays pass too: they may carry a rounding
error with them.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np

from gradreg_ref.typing import Array


def as_array(a: Any) -> Array:
    """Lists become arrays; arrays, and anything that behaves like one, stay as they are."""
    return a if hasattr(a, "__array_ufunc__") else np.asarray(a)


def floating(name: str, a: Any) -> Array:
    """A finite array of a floating or complex dtype."""
    a = as_array(a)
    if a.dtype.kind not in "fc":
        raise TypeError(
            f"expected {name} of a floating dtype, got {a.dtype}; convert it with .astype(float)"
        )
    if not np.all(np.isfinite(a)):
        raise ValueError(f"expected {name} finite, got NaN or infinity; look for it upstream")
    return a


def jacobian(J: Any) -> Array:
    """A Jacobian `J[n, k, i]` with no empty axis."""
    J = floating("J", J)
    if J.ndim != 3:
        hint = "for one example pass J[None]" if J.ndim == 2 else "flatten logits and inputs"
        raise ValueError(f"expected J with shape (n, k, i), got {J.shape}; {hint}")
    if 0 in J.shape:
        raise ValueError(f"expected J with no empty axis, got {J.shape}; skip empty batches")
    return J


def logits(z: Any, like: Array | None = None) -> Array:
    """Logits `z[n, k]`, of the batch and number of logits of the Jacobian `like`."""
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
    """A softmax over one class is the constant 1: the user meant something else."""
    if m == 1:
        raise ValueError(
            "expected at least 2 logits, got m = 1: softmax of one logit is always 1; "
            "for a binary problem pass the two logits (0, z)"
        )


def labels(y: Any, n: int, m: int) -> Array:
    """Class labels `y[n]`, integers in [0, m)."""
    y = as_array(y)
    if y.shape != (n,):
        raise ValueError(
            f"expected labels with shape ({n},), got {y.shape}; one class index an example"
        )
    if y.dtype.kind not in "iu":
        raise TypeError(f"expected labels of an integer dtype, got {y.dtype}; use .astype(int)")
    if y.min() < 0 or y.max() >= m:
        raise ValueError(
            f"expected labels in [0, {m}), got {y.min()} to {y.max()}; classes count from 0"
        )
    return y


def probes(r: Any, n: int, m: int, shared: bool) -> Array:
    """Probes `r[n, k, q]`; one set for the whole batch, `r[1, k, q]`, if `shared`."""
    r = floating("probes", r)
    batch = 1 if shared else n
    if r.ndim != 3 or r.shape[:2] != (batch, m) or r.shape[2] == 0:
        hint = (
            "for one set of probes for the whole batch pass shared_probe=True"
            if r.ndim == 3 and r.shape[0] == 1 and not shared
            else "for one probe an example pass probes[:, :, None]"
        )
        raise ValueError(f"expected probes with shape ({batch}, {m}, q), got {r.shape}; {hint}")
    return r


def choice(name: str, value: Any, known: Iterable[str]) -> Any:
    """One of the known names."""
    known = list(known)
    if value not in known:
        raise ValueError(f"expected {name} to be one of {', '.join(known)}; got {value!r}")
    return value


def count(name: str, value: Any) -> int:
    """A positive whole number."""
    if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
        raise ValueError(f"expected {name} to be a whole number >= 1, got {value!r}")
    return int(value)


def generator(rng: Any) -> np.random.Generator:
    """Randomness is an argument, never global state."""
    if not isinstance(rng, np.random.Generator):
        raise TypeError(
            f"expected rng=numpy.random.default_rng(seed), got {rng!r}; "
            "randomness is always passed in (or pass probes= themselves)"
        )
    return rng
