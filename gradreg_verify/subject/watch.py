"""A limit on the CPU time of other people's code, whatever else the machine does."""

import signal
import threading
from collections.abc import Hashable, Iterator
from contextlib import contextmanager
from time import monotonic, thread_time
from types import FrameType, SimpleNamespace
from typing import Any

from gradreg_ref import checks
from gradreg_verify.outcomes import Hung

BACKSTOP = 6  # time limits that a call may last by the clock: sleeping, waiting, or its first time
_LONGEST = 7 * 24 * 3600  # a week
_AGAIN = 1.0  # seconds until a function that caught the exception gets another one


# When the call in progress must have ended, by the clock; 0 between calls. `isolation` puts a
# number here that its parent process can read.
deadline: Any = SimpleNamespace(value=0.0)


def require_seconds(name: str, limit: Any) -> None:
    """Raise ValueError unless a time limit is a number of seconds that a call may last."""
    if not 0 < checks.number(name, limit) <= _LONGEST:
        raise ValueError(f"expected {name} > 0 and <= {_LONGEST} seconds, got {limit}")


class Patience:
    """The time limit of a function's calls.

    Parameters
    ----------
    seconds : float
        Of computing. The first call of a kind may import and compile: it has the clock's limit
        alone.
    """

    def __init__(self, seconds: float) -> None:
        self.seconds, self.known = seconds, set[Hashable]()

    @contextmanager
    def limit(self, *kind: Hashable) -> Iterator[None]:
        """Around one call of that kind."""
        with time_limit(self.seconds, first=kind not in self.known):
            yield
        self.known.add(kind)


@contextmanager
def time_limit(seconds: float, *, first: bool = False) -> Iterator[None]:
    """`Hung` after so many seconds of this thread's computing, or six times as many by the clock.

    Python code is stopped here, on POSIX and in the main thread. Compiled code that never returns
    is ended by `gradreg verify`, which runs a function in a process of its own.
    """
    computed, clock = thread_time(), BACKSTOP * seconds
    deadline.value = end = monotonic() + clock

    def hung(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        computing = clock if first else seconds - (thread_time() - computed)
        waiting = end - monotonic()
        if min(computing, waiting) > 0:
            signal.setitimer(signal.ITIMER_REAL, max(min(computing, waiting), 1e-3))
            return
        signal.setitimer(signal.ITIMER_REAL, _AGAIN)
        raise Hung(unanswered(seconds) if computing <= 0 else unanswered(clock, "by the clock"))

    alarmed = hasattr(signal, "setitimer") and (
        threading.current_thread() is threading.main_thread()
    )
    before = signal.signal(signal.SIGALRM, hung) if alarmed else None
    try:
        if alarmed:
            signal.setitimer(signal.ITIMER_REAL, clock if first else seconds)
        yield
    finally:
        deadline.value = 0.0
        if alarmed:
            signal.setitimer(signal.ITIMER_REAL, 0)
            signal.signal(signal.SIGALRM, before)


def unanswered(seconds: float, how: str = "of computing") -> str:
    """Say that a call was stopped."""
    return (
        f"it did not return within {seconds:g} s {how}, so nothing more was asked of it; "
        "a larger --time-limit gives a call more time"
    )
