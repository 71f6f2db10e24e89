"""Data parallel training: the gradient is that of one process on the whole batch, or refused.

Tried on torch 2.13 with two gloo processes (tests/torch_backend/ranks.py). Under DDP reverse mode
and finite differences are right, through the wrapper; under FSDP2 forward mode and finite
differences, and reverse mode where parameters stay unsharded.
"""

import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from gradreg_torch._engine import graph


def parallel() -> bool:
    """Whether there is a process group."""
    return torch.distributed.is_available() and torch.distributed.is_initialized()


def allowed(parts: tuple[nn.Module, ...], mode: str) -> str:
    """The mode, resolved where a wrapper decides it; an error where the gradient would be wrong."""
    for part in parts:
        if isinstance(part, nn.parallel.DistributedDataParallel):
            mode = _under_ddp(part, mode)
    fsdp = sys.modules.get("torch.distributed.fsdp")  # who uses it has imported it
    if fsdp is None:
        return mode
    if any(isinstance(part, fsdp.FullyShardedDataParallel) for part in parts):
        raise ValueError(
            "expected FSDP2 (torch.distributed.fsdp.fully_shard) or DDP, got "
            "FullyShardedDataParallel, which loses gradients of penalties"
        )
    found = sharded(parts)
    return _under_fsdp2(found, mode) if found else mode


def sharded(parts: tuple[nn.Module, ...]) -> list[nn.Module]:
    """The parts whose parameters FSDP2 gathers for each pass."""
    fsdp = sys.modules.get("torch.distributed.fsdp")
    return [] if fsdp is None else [part for part in parts if isinstance(part, fsdp.FSDPModule)]


def communicates(parts: tuple[nn.Module, ...]) -> bool:
    """Whether processes speak to each other in a pass, apart from DDP: each must then take part."""
    tensor = sys.modules.get("torch.distributed.tensor")
    return parallel() and any(
        (isinstance(part, nn.SyncBatchNorm) and part.training)
        or (tensor and any(isinstance(p, tensor.DTensor) for p in part._parameters.values()))
        for part in parts
    )


@contextmanager
def unwrapped(parts: tuple[nn.Module, ...]) -> Iterator[None]:
    """A context in which DDP calls its module and nothing else, for passes without a backward."""
    wrappers = [part for part in parts if isinstance(part, nn.parallel.DistributedDataParallel)]
    try:
        for wrapper in wrappers:
            vars(wrapper)["forward"] = wrapper.module
        yield
    finally:
        for wrapper in wrappers:
            del vars(wrapper)["forward"]


# Nodes of parameters that FSDP2 gathers and reshards, and of DDP.
SHARDED, _DDP = "RegisterPostBackwardFunctionBackward", "_DDPSinkBackward"


def allowed_logits(nodes: list[Any], names: set[str], of_model: bool) -> None:
    """A graph that reverse mode can go back through, wherever its wrapper is held."""
    wrapped = [node for node in nodes if graph.name_of(node) == _DDP] if _DDP in names else []
    if any(node.ddp_weakref().static_graph for node in wrapped):
        _refuse_static_graph()
    if SHARDED in names and not of_model:
        raise ValueError(
            "expected the model itself under FSDP2, got its logits, whose graph needs "
            "parameters that are resharded by then; pass the model in place of logits"
        )


def _refuse_static_graph() -> None:
    """Wrong without a word otherwise."""
    raise ValueError(
        "expected DistributedDataParallel(static_graph=False), got a static graph, under which "
        "gradients of penalties are not averaged over ranks; or take the loss from the wrapper "
        "and the penalty from model.module: loss(ddp(x), y) + lam * spectreg(ddp.module, x)"
    )


def _under_ddp(model: Any, mode: str) -> str:
    """Return the mode under DDP, which allows every mode but forward, and no static graph."""
    if model.static_graph:
        _refuse_static_graph()
    if mode == "forward":
        raise ValueError(
            "expected mode='reverse' or 'finite_difference' under DistributedDataParallel, got "
            "'forward', under which the gradient hooks of DDP fail"
        )
    return mode


def require_no_join(parts: tuple[nn.Module, ...]) -> None:
    """Raise ValueError inside `join()`, where ranks without inputs shadow one pass in a step."""
    if parallel() and any(
        isinstance(part, nn.parallel.DistributedDataParallel) and part._join_config.enable
        for part in parts
    ):
        raise ValueError(
            "expected one pass in a step inside DistributedDataParallel.join(), got a penalty that "
            "takes more (finite differences, fraction, batchnorm='eval', or a call beside the "
            "loss); take the loss from the wrapper and the penalty from model.module: "
            "loss(ddp(x), y) + lam * spectreg(ddp.module, x)"
        )


def _under_fsdp2(sharded: list[Any], mode: str) -> str:
    """Reverse mode needs parameters that stay; finite differences need single precision."""
    dtypes = [part._get_fsdp_state()._mp_policy.param_dtype for part in sharded]
    half = any(dtype is not None and dtype.itemsize < 4 for dtype in dtypes)
    stay = all(map(_stays_unsharded, sharded))
    if mode == "auto" and stay:
        return "reverse"
    if mode == "reverse" and not stay:
        raise ValueError(
            "expected parameters that stay unsharded for mode='reverse' under FSDP2, got "
            "resharding: pass mode='finite_difference' (or 'forward' where there is one), or "
            "fully_shard(..., reshard_after_forward=False) and set_reshard_after_backward(False)"
        )
    if mode == "auto" and not half:
        warnings.warn(
            "mode='auto' takes finite differences under FSDP2 with resharding: the penalty's value "
            "is exact, its gradient to O(h²); pass mode='finite_difference' to have it silently",
            stacklevel=2,
        )
        return "finite_difference"
    if half and mode not in ("forward", "reverse"):
        raise ValueError(
            f"expected mode='forward' or parameters that stay unsharded, got mode={mode!r} with "
            "FSDP2 in 16-bit precision, where finite differences drown in rounding"
        )
    return mode


def _stays_unsharded(part: Any) -> bool:
    """Neither resharded after the forward nor after the backward pass (no public reading of it)."""
    state = part._get_fsdp_state()
    if not hasattr(state, "_fsdp_param_groups"):
        raise ValueError(
            f"expected torch >= 2.13 for penalties under FSDP2, got {torch.__version__}, which "
            "was not tried; update torch, or train with DistributedDataParallel"
        )
    groups = state._fsdp_param_groups
    return all(
        group.post_forward_mesh_info is None and not group.reshard_after_backward
        for group in groups
    )


def reaching_all(parts: tuple[nn.Module, ...], values: Tensor, output: Tensor) -> Tensor:
    """The values, plus 0 · θ: DDP averages nothing before every parameter has a gradient.

    The biases of a last layer have none of a penalty, and DDP would wait for them in vain. With
    find_unused_parameters DDP does not wait for a parameter that the output does not depend on, and
    such a parameter must get no gradient.
    """
    wrapped = [part for part in parts if isinstance(part, nn.parallel.DistributedDataParallel)]
    if not wrapped or not values.requires_grad:
        return values
    trained = [p for model in wrapped for p in model.parameters() if p.requires_grad]
    if any(model.find_unused_parameters for model in wrapped):
        used = {id(getattr(node, "variable", None)) for node in graph.nodes(output)}
        trained = [p for p in trained if id(p) in used]
    return values + sum(0 * p.flatten()[:1].sum() for p in trained)
