"""What a pass writes into buffers, held in every other pass.

The vectors of spectral norm, a momentum teacher, a codebook of running means: a pass moves them and
then computes with them, and its derivatives take them as constants. So does a difference, if the
passes that it compares write the same into the same buffers.
"""

from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from gradreg_torch._engine.parts import Buffers, buffers_of

_NORMS = {kind for kind in vars(nn).values() if "Norm" in getattr(kind, "__name__", "")}
_Key = tuple[int, str]  # of a buffer: the number of its part, and its name there


class Written:
    """What the first pass writes into the buffers of its parts, and the passes after it repeat.

    Statistics of torch's own norms are left out: no output in training mode depends on them.
    """

    def __init__(self) -> None:
        self.kept: list[tuple[_Key, Tensor]] | None = None

    @property
    def keys(self) -> list[_Key]:
        """The buffers that a pass writes, each once."""
        return list(dict.fromkeys(key for key, _ in self.kept or ()))

    @contextmanager
    def held(self, parts: tuple[nn.Module, ...]) -> Iterator[None]:
        """A context for one pass."""
        if self.kept == []:  # nothing to hold
            yield
            return
        own = may_move(parts)
        one = _Pass(own, self.kept)
        tables = {
            i: parts[i]._buffers for i, _ in own if isinstance(parts[i]._buffers, dict)
        }  # a scripted module has none
        try:
            for i, table in tables.items():
                parts[i]._buffers = _Table(table, i, one)
            with one:
                yield
        finally:
            for i, table in tables.items():
                table.update(parts[i]._buffers)
                parts[i]._buffers = table
        self.kept = one.done if self.kept is None else self.kept


def may_move(parts: tuple[nn.Module, ...]) -> Buffers:
    """The buffers of these parts, without the statistics of torch's own norms."""
    return {key: b for key, b in buffers_of(parts).items() if type(parts[key[0]]) not in _NORMS}


class _Pass(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Sees each operation that writes into these buffers."""

    def __init__(self, buffers: Buffers, kept: list[tuple[_Key, Tensor]] | None) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.of = {_memory(b): key for key, b in buffers.items()}
        self.done: list[tuple[_Key, Tensor]] = []
        self.left = None if kept is None else deque(kept)

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """The operation; what it has written into a buffer is kept, or replaced by what was."""
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        if torch.is_grad_enabled() and any(map(_has_graph, tree_leaves((args, kwargs)))):
            return out
        for i, argument in enumerate(func._schema.arguments):
            if argument.alias_info is None or not argument.alias_info.is_write:
                continue
            given = kwargs.get(argument.name, args[i] if i < len(args) else None)
            for t in filter(_is_tensor, tree_leaves(given)):
                key = self.of.get(_memory(t))
                if key is not None and (kept := self.instead(key, t)) is not None:
                    t.copy_(kept)
        return out

    def instead(self, key: _Key, new: Tensor) -> Tensor | None:
        """What the first pass wrote here; None in the first pass, which keeps what it writes."""
        if self.left is None:
            self.done.append((key, new.detach().clone()))
        elif self.left:
            where, kept = self.left.popleft()
            return kept if where == key and kept.shape == new.shape else None
        return None


class _Table(dict[str, Tensor | None]):
    """The buffers of a part, by name: a model may put another tensor in a buffer's place."""

    def __init__(self, table: dict[str, Tensor | None], part: int, one: _Pass) -> None:
        super().__init__(table)
        self.part, self.one = part, one

    def __setitem__(self, name: str, new: Tensor | None) -> None:
        """Put a tensor in the place of a buffer."""
        if isinstance(new, Tensor) and not new.requires_grad:
            new = new if (kept := self.one.instead((self.part, name), new)) is None else kept
            self.one.of[_memory(new)] = (self.part, name)
        super().__setitem__(name, new)


def _is_tensor(t: Any) -> bool:
    """Whether an argument is a tensor."""
    return isinstance(t, Tensor)


def _has_graph(t: Any) -> bool:
    """Whether an argument is part of a graph: what is written is then no constant."""
    return isinstance(t, Tensor) and t.requires_grad


def _memory(t: Tensor) -> int:
    """Where the numbers of a tensor are; 0 where it has none, as inside a transform."""
    try:
        return t.untyped_storage()._cdata
    except NotImplementedError:
        return 0
