"""The console of the experiments: text is never read as markup or as a control of the terminal."""

from collections.abc import Iterator, Sequence

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.segment import Segment

from gradreg_verify.text import printable


def fitting(head: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> int:
    """How many columns of a table, from the left, a terminal has room for: no number is cut."""
    room, shown = width, 0
    for column in zip(head, *rows, strict=True):
        room -= max(map(cell_len, column)) + 2
        if room < 0 and shown >= 2:
            break
        shown += 1
    return shown


def or_dash(value: float | None, form: str) -> str:
    """A number, or – where there is none."""
    return "–" if value is None or value != value else format(value, form)


class Plain(Console):
    """A console without markup, which writes control characters out."""

    def __init__(self, *, width: int | None = None) -> None:
        super().__init__(width=width, markup=False, highlight=False, emoji=False)

    def render(
        self, renderable: RenderableType, options: ConsoleOptions | None = None
    ) -> Iterator[Segment]:
        """The segments that are shown for a renderable."""
        for text, style, control in super().render(renderable, options):
            yield Segment(text if control else printable(text), style, control)
