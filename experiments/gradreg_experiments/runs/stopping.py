"""Stopping a training run early: after the current step, with a checkpoint and a reason."""

import shlex
import signal
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from typing import Any

GRACE_S = 15.0  # for a step and a checkpoint
_GO_ON = "run the command again to go on"
asked, listening = threading.Event(), threading.Event()


class Stopped(KeyboardInterrupt):
    """Training was stopped from outside; a checkpoint has its state."""


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


def end(workers: Collection[Any]) -> None:
    """Workers in the middle of a run write a checkpoint first."""
    for process in workers:
        process.terminate()
    for process in workers:
        process.join(GRACE_S)
        process.kill()


def of_processes(workers: Collection[Any]) -> str:
    """Why a pool of workers broke, in a sentence, by the exit codes of its ended processes.

    When one process ends, the pool terminates the others: a code of SIGTERM says nothing.
    """
    codes = [p.exitcode for p in workers if p.exitcode not in (None, 0, -signal.SIGTERM)]
    if any(code > 0 for code in codes):
        return (
            f"a process ended with exit code {max(codes)} before the run was done, and wrote the "
            "reason to standard error; a process cannot start where the main program is read "
            "from standard input: put the program into a file"
        )
    if -signal.SIGKILL in codes:
        return f"a process was killed by SIGKILL (out of memory?); {_GO_ON}"
    if codes:
        return f"a process was ended by {_signal_of(codes[0])}; {_GO_ON}"
    return f"a process ended before the run was done, for a reason that is not known; {_GO_ON}"


def _signal_of(code: int) -> str:
    """The name of the signal that a negative exit code stands for."""
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
