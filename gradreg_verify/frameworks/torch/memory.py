"""Whether a function keeps the graph of a value after its call."""

import gc
from typing import Any
from weakref import WeakSet

from torch import Tensor


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
