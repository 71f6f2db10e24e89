"""A check of the inputs that `fraction` cuts: each must have a row for every example.

A table that all examples share can be as long as the batch by chance, and must not be cut.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gradreg_torch._engine import checks
from gradreg_torch._engine.columns import repeats
from gradreg_torch._engine.float64 import in_float64
from gradreg_torch._engine.inputs import Inputs, Named, by_name
from gradreg_torch._engine.model import Model
from gradreg_torch._engine.random import random_state, replayed
from gradreg_torch._subset import Subset, taken


def beside_examples(x: Inputs, differentiated: Named, n: int) -> tuple[str | int, ...]:
    """The inputs that are cut because they are as long as the batch."""
    return tuple(
        name
        for name, t in by_name(x).items()
        if name not in differentiated and isinstance(t, Tensor) and t.ndim > 0 and len(t) == n
    )


def require_examples(
    model: Callable[..., Any], x: Inputs, part: Subset, names: tuple[str | int, ...]
) -> None:
    """Raise ValueError unless the model maps some examples of x to the same rows of its output.

    The model runs in evaluation mode and without gradients, on the part, and on all examples moved
    by one, because a shared table can fit the part by chance. If two passes on the whole batch
    differ, the check decides nothing.
    """
    run, whole = Model(model, x), by_name(x)
    first = next(t for t in whole.values() if isinstance(t, Tensor))
    untouched = run.untouched()

    def output(given: Named) -> Any:
        with untouched:
            return run(given)

    with torch.no_grad(), _evaluating(run.parts), replayed(random_state(first), first):
        expected, again = output(whole), output(whole)
        if not (isinstance(expected, Tensor) and repeats([again], [expected])):
            return
        moved = part.rows.new_tensor(range(len(expected))).roll(1)
        for rows, given in ((part.rows, part.x), (moved, taken(x, moved, len(moved)))):
            try:
                right = _close(output(by_name(given)), expected[rows])
            except (IndexError, RuntimeError):
                right = False
            if not right:
                raise ValueError(
                    "expected one row per example in each input that is as long as the batch, got "
                    f"an input, named or numbered in {list(names)}, whose rows are not the "
                    "examples (a table that all examples share, for instance): fraction would cut "
                    "it; pass a function that holds this input: lambda x: model(x, table)"
                )


@contextmanager
def _evaluating(parts: tuple[nn.Module, ...]) -> Iterator[None]:
    """A context in which the parts are in evaluation mode; afterwards in their own mode."""
    training = [part for part in parts if getattr(part, "training", False)]
    try:
        for part in training:
            part.training = False
        yield
    finally:
        for part in training:
            part.training = True


def _close(a: Tensor, b: Tensor) -> bool:
    """Equal but for rounding, by their norms."""
    limit = min(0.25, 16 * checks.single_eps(b.dtype) ** 0.5)
    return a.shape == b.shape and bool(in_float64(a - b).norm() <= limit * in_float64(b).norm())
