"""The console of the experiments: plain text, what fits, and progress with the time left.

Text is never read as markup or as a control of the terminal. Progress is a bar on a terminal, and
elsewhere a line now and then.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from time import monotonic

from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console, ConsoleOptions, RenderableType
from rich.progress import Progress
from rich.segment import Segment
from rich.table import Table

from gradreg_verify.text import printable

_LINE_EVERY_S = 15.0


def fitting(head: Sequence[str], rows: Sequence[Sequence[str]], width: int, words: str) -> Table:
    """A table without rows, with the columns, from the left, that a terminal has room for.

    No number is cut; the column that is named `words` may be wrapped.
    """
    out = Table(box=SIMPLE_HEAD, pad_edge=False, collapse_padding=True)
    room = width
    for name, *column in zip(head, *rows, strict=True):
        room -= max(map(cell_len, (name, *column))) + 2
        if room < 0 and len(out.columns) >= 2:
            break
        number = name != words
        out.add_column(name, justify="right" if number else "left", no_wrap=number)
    return out


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


def ended(console: Console, failures: Sequence[str]) -> int:
    """Print what could not be run. Return the exit status: 2, or 0 where all was run."""
    for sentence in failures:
        console.print(sentence, soft_wrap=True)
    return 2 if failures else 0


@contextmanager
def progress(console: Console, name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function to call with the number of steps done; print nothing if there are none."""
    if not total:
        yield lambda _: None
        return
    if not console.is_terminal:
        yield _lines(console, name, total)
        return
    with Progress(console=console) as bar:
        task = bar.add_task(name, total=total)
        yield lambda done: bar.update(task, completed=done)


def _lines(console: Console, name: str, total: int) -> Callable[[int], None]:
    """Print a line every 15 seconds, and one at the end."""
    start = said = monotonic()
    last = 0

    def say(done: int) -> None:
        nonlocal said, last
        now = monotonic()
        if done == last or (done < total and now - said < _LINE_EVERY_S):
            return
        said, last, left = now, done, (now - start) * (total - done) / done
        console.print(f"{name}: {done} of {total}, {now - start:.0f} s, {left:.0f} s left")

    return say
