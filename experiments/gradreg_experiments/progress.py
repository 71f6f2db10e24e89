"""Progress with the time left: a bar on a terminal, and elsewhere a line now and then."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.console import Console
from rich.progress import Progress

LINE_EVERY_S = 15.0


@contextmanager
def progress(console: Console, name: str, total: int) -> Iterator[Callable[[int], None]]:
    """Give a function to call with the number of steps done."""
    if not console.is_terminal:
        yield lines(console, name, total)
        return
    with Progress(console=console) as bar:
        task = bar.add_task(name, total=total)
        yield lambda done: bar.update(task, completed=done)


def lines(console: Console, name: str, total: int) -> Callable[[int], None]:
    """Print a line every 15 seconds, and one at the end."""
    start = said = monotonic()
    last = 0

    def say(done: int) -> None:
        nonlocal said, last
        now = monotonic()
        if done == last or (done < total and now - said < LINE_EVERY_S):
            return
        said, last, left = now, done, (now - start) * (total - done) / done
        console.print(f"{name}: {done} of {total}, {now - start:.0f} s, {left:.0f} s left")

    return say
