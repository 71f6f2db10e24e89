"""A function in a separate process, so that it may hang or crash without ending the command."""

import ctypes
import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from multiprocessing import sharedctypes
from multiprocessing.connection import Connection
from time import monotonic
from typing import Any

from gradreg_verify.claims.ledger import CLAIMS
from gradreg_verify.frameworks.registry import BackendUnavailable
from gradreg_verify.outcomes import Hung
from gradreg_verify.report.report import Report, Result, Verdict
from gradreg_verify.run import verify
from gradreg_verify.subject import watch
from gradreg_verify.subject.locate import locate
from gradreg_verify.text import printable

_SET_PARENT_DEATH_SIGNAL = 1  # of prctl(2)
_PATIENCE = 20  # time limits without a verdict, after which the process is ended
_GRACE = 2.0  # seconds beyond a call's limit, after which compiled code is taken to be stuck
_IMPORT = 10.0  # seconds: an import may take six times as long, as a first call with that limit
_WATCH = 0.5  # seconds between looks at the other process


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
    deadline = sharedctypes.RawValue("d", 0.0)
    process = context.Process(target=_work, args=(theirs, deadline, spec, options), daemon=True)
    process.start()
    theirs.close()
    results: list[Result] = []
    try:
        for message in _messages(ours, deadline, options["time_limit"]):
            if isinstance(message, Result):
                results.append(message)
                progress(message)
            elif isinstance(message, Report):
                return message
            else:
                raise message
        why = watch.unanswered(watch.BACKSTOP * options["time_limit"], "by the clock")
        return _unfinished(spec, options, results, why, progress, hung=True)
    except EOFError:
        process.join()
        why = f"its process died (exit {process.exitcode})"
        return _unfinished(spec, options, results, why, progress)
    finally:
        process.kill()


def _messages(ours: Connection, deadline: Any, time_limit: float) -> Iterator[Any]:
    """Yield what the process says, until it no longer answers; EOFError where it dies."""
    heard = monotonic()
    while True:
        if ours.poll(_WATCH):
            yield ours.recv()
            heard = monotonic()
        now, end = monotonic(), deadline.value
        if (end and now > end + _GRACE) or now - heard > _PATIENCE * time_limit + 60:
            return


def _work(pipe: Connection, deadline: Any, spec: str, options: dict[str, Any]) -> None:
    """Send verdicts as they come, then the report, or the error; runs in the new process."""
    watch.deadline = deadline
    end_with_parent()
    try:
        with watch.time_limit(max(options["time_limit"], _IMPORT), first=True):
            function = locate(spec)
        pipe.send(verify(function, progress=pipe.send, **options))
    except Hung as hung:
        pipe.send(ValueError(f"importing {spec.rpartition(':')[0]}: {hung}"))
    except (ValueError, TypeError, BackendUnavailable, OSError) as error:
        sendable = BackendUnavailable if isinstance(error, BackendUnavailable) else ValueError
        pipe.send(sendable(printable(str(error))))
    except KeyboardInterrupt:
        pipe.close()


def end_with_parent() -> None:
    """End this process when its parent ends, however that is killed: nobody waits for a verdict.

    Linux kills it itself, even in a loop of C that leaves Python's lock to no other thread.
    """
    parent = multiprocessing.parent_process()
    if sys.platform == "linux":
        with suppress(OSError, AttributeError):  # a library of C without it
            ctypes.CDLL(None).prctl(_SET_PARENT_DEATH_SIGNAL, signal.SIGKILL)

    def wait() -> None:
        if parent is not None:
            parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _unfinished(
    spec: str,
    options: dict[str, Any],
    results: list[Result],
    why: str,
    progress: Callable[[Result], None],
    *,
    hung: bool = False,
) -> Report:
    """The verdicts so far; the claim in progress fails where it died; the rest is NOT-TESTED."""
    left = CLAIMS[len(results) :]
    rest = [Result(claim, "NOT-TESTED", f"see {left[0].id}") for claim in left[1:]]
    verdict: Verdict = "NOT-TESTED" if hung else "FAIL"
    rest = [Result(claim, verdict, why, hung=hung) for claim in left[:1]] + rest
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
