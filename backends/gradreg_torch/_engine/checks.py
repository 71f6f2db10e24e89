"""What the torch backend accepts; everything else gets a sentence that says what to do.

Checks of shape, dtype and device always run. `finite` and the range of labels must read values,
so by default they run on CPU tensors only: no training step on an accelerator waits for them.
"""

from collections.abc import Container, Iterable
from math import prod
from operator import index
from typing import Any

import torch
from torch import Tensor


def graph_reaches(logits: Tensor, inputs: dict[str | int, Tensor]) -> None:
    """Refuse logits that were not computed from this x with a graph, in the form (logits, x)."""
    for name, x in inputs.items():
        if not x.requires_grad:
            raise ValueError(
                f"expected input {name!r} to require grad where logits are passed; call "
                "x.requires_grad_() before the forward pass, or pass the model in place of logits"
            )
    if not logits.requires_grad:
        raise ValueError(
            "expected logits with a graph, got logits that require no grad (computed under "
            "no_grad, or detached); pass the model in place of logits"
        )


def is_callable(model: Any) -> None:
    """A model, where there are no logits."""
    if not callable(model):
        raise TypeError(f"expected a model (callable) or its logits, got {type(model).__name__}")


def reached(names: Iterable[str | int], gradients: Iterable[Tensor | None]) -> None:
    """Raise ValueError unless every differentiated input reaches the output."""
    for name, gradient in zip(names, gradients, strict=True):
        if gradient is None:
            raise ValueError(
                f"expected input {name!r} to reach the logits, got no path between them; "
                "pass the x that the logits were computed from, and only inputs the model uses; a "
                "layer that records no graph (a quantised one, say) cuts the path, too"
            )


def finite_value(values: Tensor) -> None:
    """A penalty that is a number (reads values)."""
    if not torch.isfinite(values).all():
        raise ValueError(
            "expected a finite penalty, got NaN or infinity at finite logits: the Jacobian is "
            f"infinite somewhere (a square root at 0?) or overflows {values.dtype}"
        )


def count(name: str, value: Any, least: int = 1, most: int | None = None) -> int:
    """A whole number, by default a positive one."""
    try:
        whole = -1 if isinstance(value, bool | Tensor) else index(value)
    except TypeError:
        whole = -1
    if whole < least:
        raise ValueError(f"expected {name} to be a whole number >= {least}, got {value!r}")
    if most is not None and whole > most:
        raise ValueError(f"expected {name} <= {most}, got {value!r}, more than any run has")
    return whole


def choice(name: str, value: Any, known: Iterable[str]) -> Any:
    """Return a value that is one of the known names; raise ValueError for another."""
    known = list(known)
    if not isinstance(value, str) or value not in known:
        raise ValueError(f"expected {name} to be one of {', '.join(known)}; got {value!r:.60}")
    return value


def option_names(owner: str, options: Iterable[str], known: Iterable[str]) -> None:
    """Options that their owner has."""
    for name in options:
        if name not in known:
            hint = f"; make a module with it, SpectReg({name}=...) say" * (name in _OF_MODULES)
            raise TypeError(
                f"expected options of {owner} among {', '.join(sorted(known))}; got {name!r}{hint}"
            )


def at_least_single(dtypes: Iterable[torch.dtype]) -> None:
    """No low precision, for finite differences."""
    for dtype in dtypes:
        if dtype in HALF:
            raise TypeError(
                f"expected finite differences in float32 or float64, got {dtype}, where they drown "
                "in rounding; keep parameters and inputs in float32 and autocast outside the "
                "model (Accelerate sets it inside), or use mode='reverse'"
            )


def single_eps(dtype: torch.dtype) -> float:
    """ε of float32, or of a lower precision: code that gets float64 may compute in float32."""
    return max(torch.finfo(dtype).eps, torch.finfo(torch.float32).eps)


def dense(name: str, t: Tensor, called: str = "") -> None:
    """A dense tensor, all of whose entries count."""
    if isinstance(t, _MASKED):
        raise TypeError(
            f"expected {name} without a mask, got a masked tensor: a penalty would count what the "
            "mask hides; leave those examples out, or pass its .to_tensor(value)"
        )
    if t.is_nested or t.layout != torch.strided:
        kind, to_dense = (
            ("nested", "to_padded_tensor(0.0)") if t.is_nested else (t.layout, "to_dense()")
        )
        raise TypeError(
            f"expected {name} as a dense tensor, got {kind}; pass {called or name}.{to_dense}"
        )


def wide(name: str, dtype: torch.dtype) -> None:
    """A floating dtype that torch computes in: those of 8 bits are only stored."""
    if dtype.itemsize < 2:
        raise TypeError(
            f"expected {name} of a floating dtype of 16 bits or more, got {dtype}, in which torch "
            "does not compute; use torch.float32, or convert with .float()"
        )


def fitting(what: str, sizes: tuple[int, ...], remedy: str) -> None:
    """Refuse more numbers than a machine can hold."""
    if prod(sizes) > MOST_NUMBERS:
        raise ValueError(
            f"expected at most 2⁴⁰ numbers, got {what} with {' · '.join(map(str, sizes))} of them; "
            f"{remedy}"
        )


def is_among(name: Any, known: Container[Any]) -> bool:
    """Whether a name, or a position, is one of the known."""
    try:
        return not isinstance(name, bool) and name in known
    except TypeError:  # of what has no hash
        return False


_OF_MODULES = ("every", "fraction")
_MASKED: Any = torch.masked.MaskedTensor
MOST_NUMBERS = 2**40
HALF = (torch.float16, torch.bfloat16)
