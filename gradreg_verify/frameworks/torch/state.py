"""The state that a call must not change: model, input, modes, settings and random states."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from weakref import WeakSet

import torch
from torch import Tensor, nn

from gradreg_verify.frameworks.torch.randomness import global_states, random_states_kept


def of_call(module: nn.Module, x: Tensor, y: Tensor) -> dict[str, Any]:
    """The state of a model, its input, its labels and the process, part by part."""
    parameters = list(module.parameters())
    return {
        "the parameters": [p.detach().clone() for p in parameters],
        "the buffers": [b.detach().clone() for b in module.buffers()],
        "the .grad of parameters": [_copy(p.grad) for p in parameters],
        "requires_grad of parameters": [p.requires_grad for p in parameters],
        "training mode of the model": [m.training for m in module.modules()],
        "attributes of the model": [_attributes_of(m) for m in module.modules()],
        "hooks of the model": [_hooks_of(m) for m in module.modules()],
        "hooks of all models": _hooks_of(nn.modules.module),
        "hooks of parameters": [len(p._backward_hooks or ()) for p in parameters],
        "hooks of x": len(x._backward_hooks or ()),
        "requires_grad of x": x.requires_grad,
        "the labels": y.clone(),
        "x": x.detach().clone(),
        "the .grad of x": _copy(x.grad),
        **global_states(),
    }


def changed(before: dict[str, Any], after: dict[str, Any], *, random: bool) -> list[str]:
    """The parts of the state that differ; `random`: random states may."""
    return [
        name
        for name, part in before.items()
        if not _same(part, after[name]) and not (random and "random state" in name)
    ]


def seeds_set(first: dict[str, Any], second: dict[str, Any]) -> list[str]:
    """The random states that two calls, which began with others, left the same."""
    names = (n for n, part in first.items() if "random state" in n and _same(part, second[n]))
    return [f"{name}, to the same whatever it was (a seed is set)" for name in names]


_OF_CUDNN = ("enabled", "benchmark", "deterministic")


def _flag(holder: Any, name: str) -> tuple[Callable[[], Any], Callable[[Any], Any]]:
    """How to get and set an attribute of a module."""
    return lambda: getattr(holder, name), lambda value: setattr(holder, name, value)


# Where torch keeps the precision of convolutions and matrix products since 2.9, under new names.
_PRECISION: list[Any] = [
    part
    for backend, names in (
        (torch.backends.cudnn, ("conv", "rnn")),
        (torch.backends.cuda, ("matmul",)),
        (torch.backends.mkldnn, ("conv", "rnn", "matmul")),
    )
    for name in names
    if hasattr(part := getattr(backend, name, None), "fp32_precision")
]


def _precision() -> list[Any]:
    """The precision of products, by the older names and by the newer ones."""
    old: list[Any] = ["highest", True]  # torch's defaults; once newer names were set, a read raises
    with suppress(RuntimeError):
        old[0] = torch.get_float32_matmul_precision()
    with suppress(RuntimeError):
        old[1] = torch.backends.cudnn.allow_tf32
    return [*old, *(part.fp32_precision for part in _PRECISION)]


def _set_precision(values: list[Any]) -> None:
    """Set what `_precision` returns; the older names set some of the newer ones, too."""
    matmul, of_cudnn, *newer = values
    torch.set_float32_matmul_precision(matmul)
    torch.backends.cudnn.allow_tf32 = of_cudnn
    for part, value in zip(_PRECISION, newer, strict=True):
        part.fp32_precision = value


# What torch keeps for the whole process: how to get it, and how to set it.
_SETTINGS: dict[str, tuple[Callable[[], Any], Callable[[Any], Any]]] = {
    "grad mode": (torch.is_grad_enabled, torch._C._set_grad_enabled),
    "anomaly detection": (torch.is_anomaly_enabled, torch.set_anomaly_enabled),
    "deterministic algorithms": (
        torch.are_deterministic_algorithms_enabled,
        torch.use_deterministic_algorithms,
    ),
    "the default dtype": (torch.get_default_dtype, torch.set_default_dtype),
    "the precision of products in float32": (_precision, _set_precision),
    "the number of threads": (torch.get_num_threads, torch.set_num_threads),
    "autocast": (
        lambda: torch.is_autocast_enabled("cpu"),
        lambda on: torch.set_autocast_enabled("cpu", on),
    ),
    **{f"cuDNN's {name}": _flag(torch.backends.cudnn, name) for name in _OF_CUDNN},
    **{
        f"the {name} kernel of attention": (
            getattr(torch.backends.cuda, f"{name}_sdp_enabled"),
            getattr(torch.backends.cuda, f"enable_{name}_sdp"),
        )
        for name in ("flash", "mem_efficient", "math", "cudnn")
    },
}


@contextmanager
def one_thread() -> Iterator[None]:
    """Use one CPU thread: products are small, and results then do not depend on the core count.

    Two threads that wait for each other are ten times slower where a core is busy elsewhere.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@contextmanager
def steady(generators: Sequence[Any] = ()) -> Iterator[None]:
    """Use one CPU thread, and products in full float32, of which TF32 keeps 10 bits.

    Random states are afterwards as they were, those of the generators given, too.
    """
    before = _precision()
    with one_thread(), random_states_kept(generators):
        _set_precision(["highest", False, *("ieee" for _ in _PRECISION)])
        try:
            yield
        finally:
            _set_precision(before)


@contextmanager
def settings_kept(changed: set[str]) -> Iterator[None]:
    """Settings of the process are afterwards as they were; those changed within are added."""
    before = {name: get() for name, (get, _) in _SETTINGS.items()}
    try:
        yield
    finally:
        for name, (get, put) in _SETTINGS.items():
            if get() != before[name]:
                changed.add(name)
                put(before[name])


def _attributes_of(module: nn.Module) -> list[Any]:
    """The names of a module's attributes, with the values that are plain: rates, switches, sizes.

    `training` is compared by itself, and names with an underscore are torch's.
    """
    held = {name: value for name, value in vars(module).items() if name != "training"}
    plain = (bool, int, float, str, type(None))
    return [
        (name, value if isinstance(value, plain) and not name.startswith("_") else None)
        for name, value in sorted(held.items())
    ]


def _hooks_of(holder: Any) -> list[int]:
    """Return how many hooks each dictionary of hooks of a module has."""
    return [len(held) for name, held in vars(holder).items() if name.endswith("_hooks")]


class _Token:
    """Lives as long as the node of a graph that has it."""


class Graph:
    """The graph of a value, watched without keeping it alive."""

    def __init__(self, value: Tensor) -> None:
        self.tokens = WeakSet[_Token]()
        waiting, seen = list[Any]([value.grad_fn]), set[Any]()
        while waiting:
            node = waiting.pop()
            # A leaf's node lives as long as the leaf.
            if node is None or node in seen or hasattr(node, "variable"):
                continue
            seen.add(node)
            node.metadata["gradreg"] = token = _Token()
            self.tokens.add(token)
            waiting += [before for before, _ in node.next_functions]

    def kept(self) -> bool:
        """Whether a part of it is still there."""
        if self.tokens:
            gc.collect()  # it takes long, and frees what a cycle of references holds
        return bool(self.tokens)


def _copy(t: Tensor | None) -> Tensor | None:
    """A copy, or None."""
    return None if t is None else t.detach().clone()


def _same(a: Any, b: Any) -> bool:
    """Equal, entry by entry."""
    if isinstance(a, list):
        return len(a) == len(b) and all(map(_same, a, b))
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    return bool(a == b) if not isinstance(b, Tensor) else False
