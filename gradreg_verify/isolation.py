"""A function in a process of its own: one that never returns, or dies, takes nothing with it."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any

from gradreg_verify.claims.ledger import CLAIMS
from gradreg_verify.frameworks.registry import BackendUnavailable
from gradreg_verify.report.report import Report, Result
from gradreg_verify.run import verify
from gradreg_verify.subject.locate import locate

SET_PARENT_DEATH_SIGNAL = 1  # of prctl(2)
PATIENCE = 20  # time limits without a verdict, after which the process is ended


def verify_isolated(
    spec: str, progress: Callable[[Result], None], options: dict[str, Any]
) -> Report:
    """`verify` of what `locate` finds, in a new process.

    Raises
    ------
    ValueError, BackendUnavailable
        As `locate` and `verify` raise them.
    """
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=work, args=(theirs, spec, options), daemon=True)
    process.start()
    theirs.close()
    results: list[Result] = []
    try:
        while True:
            if not ours.poll(PATIENCE * options["time_limit"] + 60):
                why = "it no longer answered, and was ended"
                return unfinished(spec, options, results, why, progress)
            message = ours.recv()
            if isinstance(message, Result):
                results.append(message)
                progress(message)
            elif isinstance(message, Report):
                return message
            else:
                raise message
    except EOFError:
        process.join()
        why = f"its process died (exit {process.exitcode})"
        return unfinished(spec, options, results, why, progress)
    finally:
        process.kill()


def work(pipe: Connection, spec: str, options: dict[str, Any]) -> None:
    """In the new process: verdicts as they come, then the report, or the error."""
    end_with_parent()
    try:
        pipe.send(verify(locate(spec), progress=pipe.send, **options))
    except (ValueError, TypeError, BackendUnavailable, OSError) as error:
        sendable = BackendUnavailable if isinstance(error, BackendUnavailable) else ValueError
        pipe.send(sendable(str(error)))
    except KeyboardInterrupt:
        pipe.close()


def end_with_parent() -> None:
    """End this process when its parent ends, however that is killed: nobody waits for a verdict.

    Linux kills it itself, even in a loop of C that leaves Python's lock to no other thread.
    """
    parent = multiprocessing.parent_process()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a library of C without it
            ctypes.CDLL(None).prctl(SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)

    def watch() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def unfinished(
    spec: str,
    options: dict[str, Any],
    results: list[Result],
    why: str,
    progress: Callable[[Result], None],
) -> Report:
    """The verdicts so far; the claim in progress fails, the rest is NOT-TESTED."""
    left = CLAIMS[len(results) :]
    rest = [Result(claim, "NOT-TESTED", f"see {left[0].id}") for claim in left[1:]]
    rest = [Result(claim, "FAIL", why) for claim in left[:1]] + rest
    for result in rest:
        progress(result)
    return Report(
        target=spec,
        declared="as declared",
        tier="not known",
        framework="not known",
        device=options["device"],
        dtypes=options["dtypes"] or (),
        seed=options["seed"],
        results=(*results, *rest),
    )
