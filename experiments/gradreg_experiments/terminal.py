"""The console of the experiments: no text of others is taken for markup, or obeyed."""

from collections.abc import Iterator

from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from gradreg_verify.text import printable


class Plain(Console):
    """A console without markup, whose texts have their controls written out."""

    def __init__(self, *, width: int | None = None) -> None:
        super().__init__(width=width, markup=False, highlight=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """What is shown of a renderable."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)
