"""SIGINT and SIGTERM: training ends after the step that is under way, with a checkpoint."""

import shlex
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

asked, listening = threading.Event(), threading.Event()


class Stopped(KeyboardInterrupt):
    """Training was ended from outside; a checkpoint has what was done."""


def stopped(where: str) -> Stopped:
    """The error, with the command that goes on."""
    return Stopped(f"stopped {where}; to go on: {shlex.join(['gradreg', *sys.argv[1:]])}")


@contextmanager
def heard(*, patient: bool = False) -> Iterator[None]:
    """Within, the first of these signals sets `asked`.

    A second signal ends the process at once, unless the process is `patient`: a worker gets one
    signal from the terminal and another from its parent, and must end with a checkpoint.
    """
    if threading.current_thread() is not threading.main_thread():  # where no handler can be set
        yield
        return
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}

    def hear(*_: Any) -> None:
        asked.set()
        for each in before:
            signal.signal(each, signal.SIG_IGN if patient else signal.SIG_DFL)

    for number in before:
        signal.signal(number, hear)
    listening.set()
    try:
        yield
    finally:
        listening.clear()
        for number, handler in before.items():
            signal.signal(number, handler)
        asked.clear()
