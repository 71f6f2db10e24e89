"""A time limit on code that is not ours."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from gradreg_verify.outcomes import Hung


@contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """`Hung` after so many seconds of Python code; on POSIX, in the main thread.

    Elsewhere there is no limit. Compiled code that never returns is stopped by `gradreg verify`,
    which runs a function in a process of its own.
    """
    alarmed = hasattr(signal, "setitimer") and (
        threading.current_thread() is threading.main_thread()
    )
    if not alarmed:
        yield
        return

    def hung(signum: int, frame: FrameType | None) -> None:
        del signum, frame
        raise Hung(f"did not return within {seconds:g} s (the time limit of a call)")

    before = signal.signal(signal.SIGALRM, hung)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
