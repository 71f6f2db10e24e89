"""What a graph says about the operations it was made of.

Whether they can be differentiated twice is tried (see `trial`). The names below put what was found
into words, and decide where nothing can be tried: forward mode, the device "meta".
"""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor

# The types of the nodes of parameters, and of those that hide what they do.
LEAF, HIDDEN = "AccumulateGrad", "CppFunction"
# The node in the graph of the logits, what it is to its user, and what mends it.
_ATTENTION = "ScaledDotProduct"
_NO_DOUBLE_BACKWARD = {
    "HardsigmoidBackward0": "hardsigmoid",
    "CdistBackward0": "cdist",
    "PdistBackward0": "pdist",
    "CtcLossBackward0": "ctc_loss",
    "CudnnCtcLossBackward0": "ctc_loss",
    "MultiMarginLossBackward0": "multi_margin_loss",
    "MultilabelMarginLossBackward0": "multilabel_margin_loss",
    "CudnnRnnBackward0": "a cuDNN recurrent layer",
    "MiopenRnnBackward0": "a MIOpen recurrent layer",
    "CompiledFunctionBackward": "a part compiled by torch.compile",
}
OF_PYTHON: Any = torch.autograd.function.BackwardCFunction
_CLOSED_FORM = "_ClosedFormBatchNorm"  # of `batch_norm_twice`
_BATCH_NORM = ("NativeBatchNorm", "CudnnBatchNorm", "MiopenBatchNorm")
_NORMS = (*_BATCH_NORM, _CLOSED_FORM)
WRONG_IN_FORWARD_MODE = ("NativeLayerNorm", *_BATCH_NORM)
_REENTRANT = "CheckpointFunctionBackward"
_REMEDIES = {
    "cdist": "the distance by elementary operations: (x[:, None] - y).abs().sum(-1) for p=1",
    "a cuDNN recurrent layer": "torch.backends.cudnn.flags(enabled=False)",
    "a part compiled by torch.compile": "the plain model, with the whole step compiled",
    "scaled dot-product attention": "torch.nn.attention.sdpa_kernel(SDPBackend.MATH)",
}


def name_of(node: Any) -> str:
    """Return what torch calls the operation; by its type, which is faster, where there is one."""
    name = type(node).__name__
    return str(node.name()) if name == HIDDEN else name


def names(found: list[Any]) -> set[str]:
    """Return what torch calls the operations of these nodes."""
    named = {kind.__name__ for kind in set(map(type, found))}
    return named | set(map(name_of, found)) if HIDDEN in named else named


def nodes(t: Tensor) -> list[Any]:
    """The nodes of the graph of t, from t down."""
    found: list[Any] = [] if t.grad_fn is None else [t.grad_fn]
    seen = set(found)
    for node in found:  # the loop appends to it
        for child, _ in node.next_functions:
            if child is not None and child not in seen:
                seen.add(child)
                found.append(child)
    return found


def dtypes(found: list[Any]) -> set[torch.dtype]:
    """The dtypes that a pass computes in, wherever the model converts its numbers."""
    every = {given.dtype for node in found for given in node._input_metadata}
    return {dtype for dtype in every if dtype.is_floating_point or dtype.is_complex}


def largest_eps(of: set[torch.dtype]) -> float:
    """ε of the lowest precision among dtypes."""
    return max(torch.finfo(dtype).eps for dtype in of)


def tolerance(of: set[torch.dtype]) -> float:
    """16 √ε of the lowest precision among dtypes, at most a quarter: far above rounding."""
    return min(0.25, 16 * largest_eps(of) ** 0.5)


def of_python(found: list[Any]) -> list[Any]:
    """The nodes of `torch.autograd.Function`s, this package's own apart."""
    kinds = {kind for kind in set(map(type, found)) if issubclass(kind, OF_PYTHON)}
    kinds = {kind for kind in kinds if not kind.__name__.startswith(_CLOSED_FORM)}
    return [node for node in found if type(node) in kinds] if kinds else []


def from_inputs(found: list[Any], inputs: Iterable[Tensor]) -> set[Any]:
    """The nodes on a way from these inputs, of nodes from the output down."""
    own = list(inputs)
    leaves, last = set(map(id, own)), {t.grad_fn for t in own if t.grad_fn is not None}
    above: dict[Any, list[Any]] = {}
    for node in found:
        for child, _ in node.next_functions:
            above.setdefault(child, []).append(node)
    on_it = {n for n in found if n in last or id(getattr(n, "variable", None)) in leaves}
    waiting = list(on_it)
    for node in waiting:  # the loop appends to it
        new = [n for n in above.get(node, ()) if n not in on_it]
        on_it.update(new)
        waiting += new
    return on_it


def custom_functions(found: list[Any]) -> list[str]:
    """Names of the `torch.autograd.Function`s among these nodes."""
    return sorted({name_of(node).removesuffix("Backward") for node in of_python(found)})


def require_seen(found: list[Any]) -> None:
    """Raise ValueError where a node hides kinks that finite differences must hold open."""
    if HIDDEN in names(found):
        raise ValueError(
            "expected operations in Python for finite differences, which must find every kink, got "
            "a scripted part or a function written in C++; pass the module that was scripted, or "
            "mode='reverse'"
        )


def couples_examples(found: list[Any], named: set[str] | None = None) -> bool:
    """Whether a graph has batch norm over several examples with the statistics of the batch."""
    norms = {name for name in named or names(found) if name.startswith(_NORMS)}
    return bool(norms) and any(
        _examples_of_batch_norm(node) > 1  # instance norm is batch norm of one example
        for node in found
        if name_of(node) in norms
    )


def _examples_of_batch_norm(node: Any) -> int:
    """Count the examples that a node of batch norm couples; 0 in evaluation mode."""
    if name_of(node).startswith(_CLOSED_FORM):
        return int(node.examples)
    return int(node._saved_input.shape[0]) if getattr(node, "_saved_training", False) else 0


def wrong_thrice(found: list[Any], named: set[str]) -> bool:
    """Whether a third derivative is wrong without a word, as torch's of these norms is."""
    if any(name.startswith("NativeLayerNorm") for name in named):
        return True
    norms = {name for name in named if name.startswith(_NORMS)}
    return bool(norms) and any(
        _examples_of_batch_norm(node) for node in found if name_of(node) in norms
    )


def require_last(gradient: Tensor) -> None:
    """Raise ValueError in a backward pass of a penalty that is to be differentiated again."""
    del gradient
    if torch.is_grad_enabled():
        raise ValueError(
            "expected the gradient of this penalty to be the last derivative, got "
            "create_graph=True: the next derivative is wrong after finite differences, and through "
            "torch's layer norm, instance norm and batch norm in training mode; use "
            "mode='forward', or mode='reverse' with norms by elementary operations"
        )


def without_double_backward(names: set[str]) -> list[str]:
    """The operations among these nodes that cannot be differentiated twice, in words."""
    found = {_NO_DOUBLE_BACKWARD[name] for name in names if name in _NO_DOUBLE_BACKWARD}
    if any(name.startswith(_ATTENTION) for name in names):
        found.add("scaled dot-product attention")
    return sorted(found)


def require_right_forward_mode(names: set[str]) -> None:
    """No kernel whose forward-mode gradient is wrong got past the formulas."""
    for operation in without_double_backward(names):
        raise ValueError(no_double_backward(operation))
    if any("NotImplemented" in name for name in names):
        raise ValueError(
            "expected operations whose forward mode can be differentiated, got one that torch "
            "cannot (GLU, say); pass mode='reverse'"
        )
    for name in sorted(names):
        if name.startswith(WRONG_IN_FORWARD_MODE):
            raise ValueError(
                f"expected normalisation by torch.nn modules or functions, got {name}, whose "
                "forward mode is silently wrong; pass mode='reverse'"
            )


def require_input_gradient(names: set[str]) -> None:
    """No operation that takes gradients of parameters only."""
    if _REENTRANT in names:
        raise ValueError(
            "expected a model whose inputs can be differentiated, got reentrant checkpointing, "
            "which refuses torch.autograd.grad; pass use_reentrant=False to checkpoint"
        )


def no_double_backward(operation: str) -> str:
    """Say what to do about an operation that cannot be differentiated twice."""
    return (
        f"expected a model that can be differentiated twice, got {operation}, which cannot; "
        f"pass the model with mode='finite_difference', or use {_remedy(operation)}"
    )


def instead_of_differences(names: set[str]) -> str:
    """Say what to do where finite differences cannot follow a model with these operations."""
    if once := without_double_backward(names):
        return f"for {once[0]} use {_remedy(once[0])}, and then mode='reverse'"
    return "pass mode='reverse'"


def _remedy(operation: str) -> str:
    """Say what to use in place of an operation that cannot be differentiated twice."""
    if operation in _REMEDIES:
        return _REMEDIES[operation]
    if operation in _NO_DOUBLE_BACKWARD.values():
        return "elementary operations in its place"
    return "a backward pass of operations that autograd records"


def saved_tensor_hooks() -> Any:
    """The innermost ones, which `torch.utils.checkpoint` sets in a block that it will run again."""
    if torch.compiler.is_compiling():
        return None
    return torch._C._autograd._top_saved_tensors_default_hooks(True)


def in_transform() -> bool:
    """Whether a transform of `torch.func` (grad, vmap, …) runs this."""
    return torch._C._functorch.peek_interpreter_stack() is not None


def in_vmap() -> bool:
    """Whether `vmap` is among the transforms that run this: its tensors have no values to read."""
    if torch.compiler.is_compiling():
        return False
    stack = torch._C._functorch.get_interpreter_stack() or []
    return any(one.key() == torch._C._functorch.TransformType.Vmap for one in stack)


def is_batched(t: Tensor) -> bool:
    """Whether t stands for a whole batch of tensors, inside `vmap`: it has no values to read."""
    functorch = torch._C._functorch
    while functorch.is_functorch_wrapped_tensor(t):
        if functorch.is_batchedtensor(t):
            return True
        t = functorch.get_unwrapped(t)
    return False


def is_functional() -> bool:
    """Whether `torch.compile` or a transform of `torch.func` runs this.

    There are then no variables of our own, no graph to look at, and no values to read.
    """
    in_transform = torch._C._functorch.peek_interpreter_stack() is not None
    return torch.compiler.is_compiling() or in_transform
