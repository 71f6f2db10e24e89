"""Whether a function keeps the graph of a value, or tensors that it made, after its call."""

import gc
from typing import Any
from weakref import WeakSet, ref

from torch import Tensor
from torch.overrides import TorchFunctionMode


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


class Made(TorchFunctionMode):
    """The tensors that are made within, watched without keeping them alive; no single numbers."""

    def __init__(self) -> None:
        super().__init__()
        self.made: list[ref[Tensor]] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """What the function returns."""
        got = func(*args, **(kwargs or {}))
        several = got if isinstance(got, tuple | list) else (got,)
        self.made += [ref(t) for t in several if isinstance(t, Tensor) and t.ndim]
        return got

    def alive(self) -> set[int]:
        """The ids of those that are still there."""
        return {id(t) for made in self.made if (t := made()) is not None}
