"""What each penalty accepts of its own arguments: labels, probes, losses, parts of a batch.

Checks of shape, dtype and device always run. The range of labels must be read, so by default only
CPU tensors are read: no training step on an accelerator waits for a check.
"""

from typing import Any

import torch
from torch import Tensor

from gradreg_torch._engine import checks


def rows_of_logits(z: Tensor) -> Tensor:
    """Logits (n, k), one class axis, where a penalty needs classes."""
    if z.ndim != 2:
        raise ValueError(
            f"expected logits with shape (n, k), got {tuple(z.shape)}; a class axis is needed "
            "here: reshape the model's output, one row per example; for an output at every pixel "
            "or token use doubleback with a loss, "
            "loss=lambda z, y: F.cross_entropy(z, y, reduction='none').flatten(1).mean(1)"
        )
    return z


def classes(output: Tensor) -> Tensor:
    """Logits (n, k), k > 1: a softmax over one class is the constant 1."""
    z = rows_of_logits(output)
    if z.shape[1] == 1:
        raise ValueError(
            "expected at least 2 logits, got m = 1: softmax of one logit is always 1; "
            "for a binary problem return the two logits (0, z)"
        )
    return z


def labels(y: Any, z: Tensor, reads: bool) -> Tensor:
    """Class labels (n,) in [0, m), of an integer dtype, on the device of the logits."""
    n, m = z.shape
    same_device("y", y, z)
    if y.shape != (n,):
        raise ValueError(
            f"expected labels with shape ({n},), got {tuple(y.shape)}; one class index per example"
        )
    if y.dtype != torch.int64:
        if y.is_floating_point() or y.is_complex() or y.dtype == torch.bool:
            raise TypeError(f"expected labels of an integer dtype, got {y.dtype}; use y.long()")
        y = y.long()  # also of uint16, of which torch has no least and no largest
    if reads:
        least, largest = map(int, y.aminmax())
        if least < 0 or largest >= m:
            raise ValueError(
                f"expected labels in [0, {m}), got {least} to {largest}; classes count from 0"
            )
    return y


def same_device(name: str, a: Any, z: Tensor) -> None:
    """Require a tensor on the device of the logits: no tensor is moved silently."""
    if not isinstance(a, Tensor):
        raise TypeError(f"expected {name} to be a tensor, got {type(a).__name__}")
    checks.dense(name, a)
    if a.device != z.device:
        raise ValueError(
            f"expected {name} on {z.device} like the logits, got {a.device}; "
            f"move it with {name}.to(logits.device)"
        )


def per_example_loss(values: Any, z: Tensor) -> Tensor:
    """Losses (n,): one an example, not their mean, computed from the outputs."""
    n = z.shape[0]
    if isinstance(values, Tensor) and not values.requires_grad:
        raise ValueError("expected a loss that depends on the outputs, got one without a graph")
    if not isinstance(values, Tensor) or values.shape != (n,):
        came = tuple(values.shape) if isinstance(values, Tensor) else type(values).__name__
        raise ValueError(
            f"expected per-example losses with shape ({n},), got {came}; pass reduction='none' "
            "to the loss (the loss of a batch mean makes DoubleBack 1/B² of itself), and take the "
            "mean over pixels or tokens with .flatten(1).mean(1)"
        )
    return values


def fraction(value: Any, generator: Any) -> float:
    """Check a fraction in (0, 1]; below 1 a generator must draw the part."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
        raise ValueError(f"expected fraction in (0, 1], got {value!r}")
    if value < 1 and generator is None:
        raise TypeError(
            "expected generator=torch.Generator(...) with fraction, which draws examples"
        )
    return value


def whole_batch(every: int, fraction: float, options: dict[str, Any]) -> None:
    """Refuse combinations: a part of a batch has no value for each example, a graph many rows."""
    if fraction < 1 and options.get("reduction") == "none":
        raise ValueError("expected reduction='mean' or 'sum' with fraction, got 'none'")
    if options.get("batch") is None:
        return
    if fraction < 1:
        raise ValueError("expected fraction=1 with batch; pass some of the graphs yourself")
    if every > 1 and options.get("reduction") == "none":
        raise ValueError("expected reduction='mean' or 'sum' with every and batch, got 'none'")


def for_unlabelled(penalty: Any, ragged: bool) -> None:
    """Refuse a penalty with labels, and `batch`, for unlabelled inputs."""
    if penalty.takes_labels:
        raise ValueError(
            f"expected a penalty without labels for unlabelled inputs, got {penalty}; "
            "for example SpectReg, JacReg or FrobReg"
        )
    if ragged:
        raise ValueError(
            "expected batch without unlabelled, which is another batch of graphs; add the penalty "
            "yourself: penalty(model, unlabelled, batch=...)"
        )
