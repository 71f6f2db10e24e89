"""A model whose buffers are held constant while it is checked."""

from collections.abc import Callable
from typing import Any

from gradreg_torch._engine.holding import held_modules
from gradreg_torch._engine.model import all_modules
from gradreg_torch._engine.parts import parts_of
from gradreg_torch._engine.written import Written


class Held:
    """A model whose passes all write into buffers what the first pass wrote."""

    def __init__(self, function: Callable[..., Any]) -> None:
        self.function, self.written = function, Written()

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Run the model."""
        with self.written.held(parts_of(all_modules(held_modules(self.function)))):
            return self.function(*args, **kwargs)

    def names(self) -> list[str]:
        """The buffers that a pass writes, by the names of their modules."""
        modules = all_modules(held_modules(self.function))
        parts = parts_of(modules)
        named = {id(p): name for m in reversed(modules) for name, p in m.named_modules()}
        return [f"{named[id(parts[i])]}.{name}".lstrip(".") for i, name in self.written.keys]
