"""How a penalty runs the user's model: in its form, on copies of its buffers, and repeatedly."""

import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.parameter import is_lazy

from gradreg_torch._engine.attributes import Untouched
from gradreg_torch._engine.batch_norm import RunningStatistics
from gradreg_torch._engine.holding import held_modules
from gradreg_torch._engine.inputs import Inputs, Named, by_name, in_form, trained
from gradreg_torch._engine.normalisation import Decomposed
from gradreg_torch._engine.outputs import logits_of
from gradreg_torch._engine.parts import Buffers, buffers_of, in_training, parts_of, swapped
from gradreg_torch._engine.process import attention_by_formula, uncompiled
from gradreg_torch._engine.random import Random
from gradreg_torch._engine.unregistered import unregistered
from gradreg_torch._engine.written import Written

K = TypeVar("K")


@dataclass
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
    written : Written, optional
        What every pass writes into buffers, where passes are to be one function of x.
    """

    function: Callable[..., Tensor]
    x: Inputs
    batchnorm: str = "batch"
    written: Written | None = None
    _parts: tuple[nn.Module, ...] | None = None

    @property
    def modules(self) -> tuple[nn.Module, ...]:
        """The function itself, or the modules that it holds."""
        if isinstance(self.function, nn.Module):
            return (self.function,)
        # Compiled, a step sees through the callable by itself, and has no buffers but a module's.
        return () if torch.compiler.is_compiling() else held_modules(self.function)

    @property
    def parts(self) -> tuple[nn.Module, ...]:
        """The modules and all modules inside them."""
        if self._parts is None:  # the lock of `cached_property` in Python 3.11 cannot be compiled
            self._parts = parts_of(all_modules(self.modules))
        return self._parts

    def __call__(self, inputs: Named, buffers: Buffers | None = None) -> Any:
        """The output at these inputs; with buffers, on those instead of its own."""
        one = isinstance(self.x, Tensor)
        args, kwargs = in_form(self.x, inputs if one else by_name(self.x) | inputs)
        with RunningStatistics() if self.batchnorm == "eval" else nullcontext():
            if not buffers:
                return run(self.function, args, kwargs)
            if torch.compiler.is_compiling():
                module = self.modules[0]
                own = dict(zip(dict(module.named_buffers()), buffers.values(), strict=True))
                logits = logits_of(torch.func.functional_call(module, own, args, kwargs))
                buffers.update(zip(buffers, own.values(), strict=True))
                return logits
            held = nullcontext() if self.written is None else self.written.held(self.parts)
            with swapped(self.parts, buffers), held:
                return run(self.function, args, kwargs)

    def buffers(self) -> Buffers:
        """Copies of the buffers of a model in training mode, where they move in a pass."""
        own = buffers_of(self.parts)
        if not own or not any(map(in_training, self.parts)):
            return {}
        if not torch.compiler.is_compiling() and any(map(is_lazy, own.values())):
            raise ValueError(
                "expected a model whose buffers have a shape, got lazy ones; run model(x) once, as "
                "before an optimiser is made"
            )
        return copied(own)

    def pure(self, names: list[str | int], *inputs: Tensor) -> tuple[Any, Buffers]:
        """Output and moved buffers, as a function of the inputs of these names, for `torch.func`.

        Normalisations by elementary formulas: forward mode through torch's own kernels gives wrong
        gradients without a word, and they move statistics in place, which `torch.func` refuses.
        """
        buffers = self.buffers()
        # The compiler knows torch's own context alone.
        compiling = torch.compiler.is_compiling()
        attention = sdpa_kernel(SDPBackend.MATH) if compiling else attention_by_formula
        with Decomposed(self.batchnorm), attention:
            return self(dict(zip(names, inputs, strict=True)), buffers), buffers

    def untouched(self) -> Untouched:
        """A context for passes of a trial, which leave no trace in plain attributes."""
        return Untouched(self.function, all_modules(self.modules))

    def keep(self, buffers: Buffers) -> None:
        """Moved buffers become those of the model."""
        own = buffers_of(self.parts)
        with torch.no_grad():
            for key, value in buffers.items():
                own[key].copy_(value.detach())


def run(function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The logits; where torch raises an error, an input on another device is named."""
    if torch.compiler.is_compiling():
        return logits_of(function(*args, **kwargs))
    try:
        return logits_of(function(*args, **kwargs))
    except RuntimeError as error:
        modules = held_modules(function)
        own = {p.device for m in modules for p in m.parameters()}
        for name, t in (dict(enumerate(args)) | kwargs).items():
            if len(own) == 1 and isinstance(t, Tensor) and t.device not in own:
                where = own.pop()
                raise ValueError(
                    f"expected input {name!r} on {where} like the parameters of the model, got "
                    f"{t.device}; move it with .to({str(where)!r})"
                ) from error
        raise


def forget_casts() -> None:
    """Empty the cache of autocast before a pass.

    A weight that a pass under no_grad has cast is found there again, without a graph: in torch 2.8
    every weight, in 2.13 those of a `TransformerEncoderLayer` after a pass in evaluation mode. x
    has a graph, so that nothing else says that the weight has no gradient.
    """
    if not torch.compiler.is_compiling():
        torch.clear_autocast_cache()


def all_modules(modules: tuple[nn.Module, ...]) -> tuple[nn.Module, ...]:
    """The modules, and the modules that they keep without registering them."""
    if torch.compiler.is_compiling():
        return modules
    hidden = list[nn.Module]()
    for module in modules:
        hidden += unregistered(module)
    return (*modules, *hidden)


def copied(tensors: dict[K, Tensor]) -> dict[K, Tensor]:
    """Copies, as a pass moves buffers and may work in place on inputs."""
    return {key: t.clone() for key, t in tensors.items()}


class Snapshot(NamedTuple):
    """Buffers and random state before a pass: passes beside it start from the same."""

    buffers: Buffers
    random: Random | None


def visible(model: Model) -> AbstractContextManager[Any]:
    """A context in which compiled parts run uncompiled.

    A compiled part cannot be differentiated twice, and its graph does not show what it does.
    """
    dynamo: Any = sys.modules.get("torch._dynamo.eval_frame")  # slow to import, and there if used
    if dynamo is None:
        return nullcontext()
    kind, function = dynamo.OptimizedModule, model.function
    compiled = any(p._compiled_call_impl or isinstance(p, kind) for p in model.parts) or (
        not isinstance(function, nn.Module) and hasattr(function, "_torchdynamo_orig_callable")
    )
    return uncompiled if compiled else nullcontext()


def require_trainable(parts: tuple[nn.Module, ...], inputs: Named) -> None:
    """A model in training mode has something to train, or its inputs have (embeddings, say)."""
    frozen = False
    for part in parts:
        for p in part._parameters.values():
            if p is not None and p.requires_grad:
                return
            frozen = frozen or p is not None
    if frozen and not any(map(trained, inputs.values())):
        raise ValueError(
            "expected a trainable model in training mode, got one whose parameters are all frozen: "
            "the penalty would train nothing; call model.eval() to measure it, "
            "model.requires_grad_() to train it, or pass x as torch.nn.Parameter to train x"
        )
