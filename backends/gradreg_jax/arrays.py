"""Checks of single arrays: conversion to JAX, values, dtype and size.

Checks of shape and dtype always run. Checks of values run on arrays that have values. An argument
of a function under `jit`, `grad` or `vmap` has none; an array that the function closes over has.
"""

from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from math import prod
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

HALF = (jnp.float16, jnp.bfloat16)
_MOST_NUMBERS = 2**40


def concrete(a: Any) -> bool:
    """Return whether an array has values to read, which a traced array has not."""
    return not isinstance(a, jax.core.Tracer)


def array(a: Any) -> Any:
    """Convert to an array of JAX; arrays that a compiled function closes over keep their values."""
    if sparse(a):
        raise TypeError(
            f"expected a dense array, got {type(a).__name__}; pass its .todense(), and convert "
            "it back inside f if f needs a sparse array"
        )
    if isinstance(a, np.ma.MaskedArray):
        raise TypeError(
            "expected an array without a mask, got a masked array: a penalty would count what the "
            "mask hides; leave those examples out, or pass its .filled(value)"
        )
    try:
        if any(isinstance(leaf, str | bytes) for leaf in jax.tree.leaves(a)):
            raise TypeError("text")  # of which JAX asks whether it is the name of a dtype
        with values() if isinstance(a, np.ndarray) else nullcontext():
            return jnp.asarray(a)
    except (TypeError, ValueError, OverflowError) as error:
        why = f"{type(a).__name__}: {str(error).splitlines()[0]}"
        raise TypeError(
            "expected an array of numbers in the byte order of this machine, got "
            f"{getattr(a, 'dtype', why)}; convert with np.asarray(a, float) (or int)"
        ) from error


def sparse(a: Any) -> bool:
    """Return whether a is a sparse array (BCOO, BCSR), which JAX treats as a pytree of arrays."""
    return hasattr(a, "todense")


@contextmanager
def values() -> Iterator[None]:
    """Return a context that computes with concrete arrays, also while a function is compiled.

    A transfer guard concerns the step of the user, and no check, which would be left out.
    """
    with jax.ensure_compile_time_eval(), jax.transfer_guard("allow"):
        yield


def finite(a: Any) -> bool:
    """Return whether an array has no NaN or infinity, as far as it has values to read."""
    with values():
        return not concrete(a) or bool(jnp.isfinite(a).all())


def beyond(numbers: Any, n: int) -> str:
    """Return least and largest of numbers, in words, where some are not in [0, n); else ""."""
    with values():
        if concrete(numbers) and (numbers.min() < 0 or numbers.max() >= n):
            return f"{int(numbers.min())} to {int(numbers.max())}"
    return ""


def floating(name: str, a: Any, remedy: str = "look for it upstream") -> Any:
    """Check a finite array of a real floating dtype; the remedy is for NaN and infinity."""
    if a is None:
        raise TypeError(f"expected {name} of a real floating dtype, got None")
    a = array(a)
    if not jnp.issubdtype(a.dtype, jnp.floating):
        parts = "jnp.stack([a.real, a.imag], axis=-1) has both parts"
        whole = (
            "convert it with .astype(float), close f over what is not differentiated (masks, "
            "indices), and for token models differentiate the embeddings"
        )
        remedy = parts if jnp.iscomplexobj(a) else whole
        raise TypeError(f"expected {name} of a real floating dtype, got {a.dtype}; {remedy}")
    _wide(name, a.dtype)
    if not finite(a):
        raise ValueError(f"expected {name} finite, got NaN or infinity; {remedy}")
    return a


def _wide(name: str, dtype: Any) -> None:
    """Refuse floats of 8 bits, which JAX can store but cannot compute with."""
    if jnp.dtype(dtype).itemsize < 2:
        raise TypeError(
            f"expected {name} of a floating dtype of 16 bits or more, got {jnp.dtype(dtype)}, with "
            "which JAX does not compute; use float32, or convert with .astype(jnp.float32)"
        )


def dtype(value: Any) -> Any:
    """Check a real floating dtype to compute in, or its name."""
    try:
        found = jnp.dtype(value)
    except (TypeError, ValueError) as error:
        raise TypeError(
            f"expected dtype to be a real floating dtype, got {value!r:.60}; for example "
            "dtype=jnp.float32"
        ) from error
    if not jnp.issubdtype(found, jnp.floating):
        raise TypeError(f"expected dtype to be a real floating dtype, got {found}")
    _wide("dtype", found)
    return found


def fitting(what: str, sizes: tuple[int, ...], remedy: str) -> None:
    """Refuse more numbers than a machine can hold, for which XLA would end the process."""
    known = (size for size in sizes if isinstance(size, int))  # others are symbols of an export
    if prod(known) > _MOST_NUMBERS:
        raise ValueError(
            f"expected at most 2⁴⁰ numbers, got {what} with {' · '.join(map(str, sizes))} of them; "
            f"{remedy}"
        )
