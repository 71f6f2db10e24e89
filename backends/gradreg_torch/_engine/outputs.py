"""What a model returned: its logits, checked."""

from collections.abc import Mapping
from math import isfinite
from typing import Any

import torch
from torch import Tensor

from gradreg_torch._engine import checks
from gradreg_torch._engine.holding import held_modules
from gradreg_torch._engine.inputs import Named
from gradreg_torch._engine.parts import named_parameters


def logits_of(output: Any) -> Any:
    """The logits of a result that has several parts and names them, as `transformers` does."""
    if isinstance(output, Tensor):
        return output
    named = output.get("logits") if isinstance(output, Mapping) else None
    found = getattr(output, "logits", named)
    return found if isinstance(found, Tensor) else output


def require_output(z: Any, n: int | None, *, grad: bool) -> Tensor:
    """A tensor (n, …) of a real floating dtype, that depends on the inputs; n None is any."""
    if not isinstance(z, Tensor):
        raise TypeError(
            f"expected the model to return a tensor of logits, got {type(z).__name__}; "
            "wrap it, for example lambda x: model(x)[0]"
        )
    checks.dense("logits", z)
    if z.ndim == 0 or z.shape[0] != (n or z.shape[0]) or 0 in z.shape:
        raise ValueError(
            f"expected logits with shape ({n or 'n'}, ...), one row per example, got "
            f"{tuple(z.shape)}; return the logits, not a loss; where an example has several rows "
            "of x (a graph, say), pass batch=, the example of each row"
        )
    if not z.is_floating_point():
        hint = "torch.view_as_real(logits)" if z.is_complex() else "numbers before they are rounded"
        raise TypeError(f"expected logits of a real floating dtype, got {z.dtype}; return {hint}")
    if z.dtype.itemsize < 2:
        checks.wide("logits", z.dtype)
    if grad and not z.requires_grad:
        raise ValueError(
            "expected logits that depend on x, got logits that require no grad; "
            "look for detach(), no_grad or a rounding in the model"
        )
    return z


def require_finite_pass(inputs: Named, z: Tensor, model: Any) -> None:
    """No NaN or infinity in inputs or logits (reads values); parameters are looked at if so."""
    if isfinite(sum([t.detach().sum().item() for t in (z, *inputs.values())])):
        return  # a sum is not finite where a term is not, and rarely otherwise
    require_finite("input", inputs)
    if not _all_finite(z):
        require_finite("parameter", named_parameters(held_modules(model)))
        raise ValueError(
            "expected output 'logits' finite, got NaN or infinity; to mask logits use a large "
            "finite number (-1e4, say) in place of infinity, or pass check_values=False"
        )


def require_finite(kind: str, tensors: Mapping[Any, Tensor]) -> None:
    """An error that names the first that is not."""
    for name, tensor in tensors.items():
        if not _all_finite(tensor):
            raise ValueError(f"expected {kind} {name!r} finite, got NaN or infinity")


def _all_finite(t: Tensor) -> bool:
    """Whether every entry is finite."""
    return bool(torch.isfinite(t).all())
