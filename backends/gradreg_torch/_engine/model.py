"""How a penalty runs the user's model: in its form, on copies of its buffers, and repeatedly."""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from gradreg_torch._engine.batch_norm import RunningStatistics
from gradreg_torch._engine.inputs import Inputs, Named, by_name, first_of, in_form
from gradreg_torch._engine.normalisation import Decomposed

Buffers = dict[str, Tensor]
Random = tuple[Tensor, Tensor | None]


@dataclass(frozen=True)
class Model:
    """A model with the x it is called on.

    Parameters
    ----------
    function : callable
        Called as ``function(x)``, ``function(*x)`` or ``function(**x)``.
    x : Inputs
        As the user gave it.
    batchnorm : {"batch", "eval", "error", "own R"}
        What batch norm in training mode does: with "eval" it has its running statistics.
    """

    function: Callable[..., Tensor]
    x: Inputs
    batchnorm: str = "batch"

    def __call__(self, inputs: Named, buffers: Buffers | None = None) -> Any:
        """The output at these inputs; with buffers, on those instead of its own."""
        args, kwargs = in_form(self.x, by_name(self.x) | inputs)
        with RunningStatistics() if self.batchnorm == "eval" else nullcontext():
            if buffers is None or not isinstance(self.function, nn.Module):
                return self.function(*args, **kwargs)
            return torch.func.functional_call(self.function, buffers, args, kwargs)

    def buffers(self) -> Buffers | None:
        """Copies of the buffers of a model in training mode; they move in a pass."""
        if not isinstance(self.function, nn.Module) or not in_training(self.function):
            return None
        return {name: b.clone() for name, b in self.function.named_buffers()}

    def pure(self, names: list[str | int], *inputs: Tensor) -> tuple[Any, Buffers]:
        """Output and moved buffers, as a function of the inputs of these names, for `torch.func`.

        Normalisations by elementary formulas: forward mode through torch's own kernels gives wrong
        gradients without a word, and they move statistics in place, which `torch.func` refuses.
        """
        buffers = self.buffers() or {}
        with Decomposed(self.batchnorm), math_attention():
            return self(dict(zip(names, inputs, strict=True)), buffers), buffers

    def keep(self, buffers: Buffers) -> None:
        """Moved buffers become those of the model."""
        own = dict(self.function.named_buffers()) if buffers else {}  # type: ignore[attr-defined]
        with torch.no_grad():
            for name, value in buffers.items():
                own[name].copy_(value.detach())


def copied(buffers: Buffers | None) -> Buffers | None:
    """Copies, as a pass moves them."""
    return None if buffers is None else {name: b.clone() for name, b in buffers.items()}


@dataclass(frozen=True)
class Snapshot:
    """Buffers and random state before a pass: passes beside it start from the same."""

    buffers: Buffers | None
    random: Random | None

    @classmethod
    def of(cls, model: Model, inputs: Named, mode: str) -> "Snapshot":
        """Taken before the first pass. No pass follows one in reverse mode."""
        random = None if mode == "reverse" else random_state(first_of(inputs))
        return cls(model.buffers(), random)


def in_training(model: Any) -> bool:
    """Whether any part of the model is in training mode; a plain callable may be."""
    return not isinstance(model, nn.Module) or any(m.training for m in model.modules())


def random_state(x: Tensor) -> Random:
    """Of the global generators that dropout draws from."""
    cuda = torch.cuda.get_rng_state(x.device) if x.device.type == "cuda" else None
    return torch.get_rng_state(), cuda


@contextmanager
def replayed(state: Random, x: Tensor) -> Iterator[None]:
    """The same dropout masks again; afterwards the generators are where they were."""
    now = random_state(x)
    set_random_state(state, x)
    try:
        yield
    finally:
        set_random_state(now, x)


def set_random_state(state: Random, x: Tensor) -> None:
    """The other way round of `random_state`."""
    cpu, cuda = state
    torch.set_rng_state(cpu)
    if cuda is not None:
        torch.cuda.set_rng_state(cuda, x.device)


def compiled(model: Any) -> bool:
    """Whether the user has compiled the model, or a part of it."""
    if not isinstance(model, nn.Module):
        return hasattr(model, "_torchdynamo_orig_callable")
    dynamo: Any = sys.modules.get("torch._dynamo.eval_frame")  # slow to import, and there if used
    return dynamo is not None and any(
        part._compiled_call_impl is not None or isinstance(part, dynamo.OptimizedModule)
        for part in model.modules()
    )


def visible(model: Any) -> AbstractContextManager[Any]:
    """Compiled parts run uncompiled: they cannot be differentiated twice, nor seen into."""
    return torch.compiler.set_stance("force_eager") if compiled(model) else nullcontext()


def math_attention() -> AbstractContextManager[Any]:
    """The one attention kernel that can be differentiated twice."""
    return sdpa_kernel(SDPBackend.MATH)
