"""The end of a sweep's worker processes, and what is known of a process that ended too early."""

import signal
from collections.abc import Collection
from contextlib import suppress
from typing import Any

GRACE_S = 15.0  # for a step and a checkpoint
GO_ON = "run the command again to go on"


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
        return f"a process was killed by SIGKILL (out of memory?); {GO_ON}"
    if codes:
        return f"a process was ended by {signal_of(codes[0])}; {GO_ON}"
    return f"a process ended before the run was done, for a reason that is not known; {GO_ON}"


def signal_of(code: int) -> str:
    """The name of the signal that a negative exit code stands for."""
    with suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
