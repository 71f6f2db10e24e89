"""The parts of modules, their parameters and buffers, and other buffers in place of these."""

from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor, nn

Buffers = dict[tuple[int, str], Tensor]


def in_training(part: nn.Module) -> bool:
    """Whether a part is in training mode; a scripted module that is frozen has none."""
    return bool(getattr(part, "training", False))


def named_parameters(modules: tuple[nn.Module, ...]) -> dict[str, Tensor]:
    """The parameters of modules, each once, by name; of several, with the number of the module."""
    named = [
        (name if len(modules) == 1 else f"{i}:{name}", p)
        for i, module in enumerate(modules)
        for name, p in module.named_parameters()
    ]
    first = {id(p): (name, p) for name, p in reversed(named)}
    return dict(reversed(first.values()))


def parts_of(modules: tuple[nn.Module, ...]) -> tuple[nn.Module, ...]:
    """The modules and all that they are made of."""
    parts = list(dict.fromkeys(modules))
    seen = set(parts)
    for part in parts:  # the loop appends to it
        for child in part._modules.values():
            if child is not None and child not in seen:
                seen.add(child)
                parts.append(child)
    return tuple(parts)


def buffers_of(parts: tuple[nn.Module, ...]) -> Buffers:
    """The buffers of these parts, each once, by the number of a part and their name."""
    found = {id(b): (i, name, b) for i, name, b in reversed(_places(parts))}
    return {(i, name): b for i, name, b in reversed(found.values())}


@contextmanager
def swapped(parts: tuple[nn.Module, ...], buffers: Buffers) -> Iterator[None]:
    """A context in which the parts have these buffers; afterwards they have their own, unchanged.

    A buffer that two parts share is one buffer inside it, too. What the parts put in the place of a
    buffer is afterwards in `buffers`.
    """
    own, places = buffers_of(parts), _places(parts)
    stands_in = {id(own[key]): new for key, new in buffers.items()}
    try:
        for i, name, b in places:
            setattr(parts[i], name, stands_in[id(b)])
        yield
        for i, name in buffers:
            buffers[i, name] = getattr(parts[i], name)
    finally:
        for i, name, b in places:
            setattr(parts[i], name, b)


def _places(parts: tuple[nn.Module, ...]) -> list[tuple[int, str, Tensor]]:
    """Where a buffer is: the number of the part, its name there, and the buffer."""
    return [
        (i, name, b)
        for i, part in enumerate(parts)
        for name, b in part._buffers.items()
        if b is not None
    ]
