"""A sweep goes on past what cannot be made, and says what it was."""

import os
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from types import SimpleNamespace

import pytest
from gradreg_experiments.runs import stopping
from gradreg_experiments.runs.stopping import of_processes
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.sweep import missing, sweep
from runs.common import RUN

from gradreg_verify import files

WRITABLE = """
import sys
from pathlib import Path
from gradreg_experiments.files import require_writable
for _ in range(300):
    require_writable(Path(sys.argv[1]))
"""


def test_two_processes_may_ask_for_the_same_folder(tmp_path):
    command = [sys.executable, "-c", WRITABLE, str(tmp_path / "out")]
    children = [subprocess.Popen(command, stderr=subprocess.PIPE) for _ in range(2)]
    assert [child.communicate()[1] for child in children] == [b""] * 2
    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="/dev/full is a device of Linux")
def test_a_full_disk_is_named(tmp_path):
    path = tmp_path / "x.json"
    (tmp_path / f".x.json.{os.getpid()}.part").symlink_to("/dev/full")
    with pytest.raises(OSError, match=f"No space left on device: '{path}'"):
        files.write_atomically(path, b"{}")


def test_a_sweep_goes_on_past_a_run_that_cannot_be_made(tmp_path):
    store, short = Store(tmp_path / "runs"), replace(RUN, iterations=2)
    bad = replace(short, train=5000)
    failed = sweep([(bad,), (short,)], store)
    assert len(failed) == 1
    assert "expected at most 1297 images" in failed[0]
    assert store.find(short) is not None
    assert missing([(bad,), (short,)], store) == [(bad,)]
    store.weights(short).unlink()
    assert missing([(short,)], store) == []
    assert missing([(short,)], store, weights=True) == [(short,)]


class Killed(Store):
    """A process that receives it is killed."""

    def __reduce__(self):
        return signal.raise_signal, (signal.SIGKILL,)


def test_runs_that_wait_while_a_sweep_is_stopped_leave_no_traceback(tmp_path, monkeypatch):
    """A thread of the pool had one: it told the cancelled runs that their worker had ended."""
    raised = []
    monkeypatch.setattr(threading, "excepthook", raised.append)
    runs = [replace(RUN, seed=seed, iterations=10**9) for seed in range(5)]

    def stop(steps):
        if steps:
            stopping.asked.set()

    with pytest.raises(stopping.Stopped, match="with a checkpoint of every run"):
        sweep([(run,) for run in runs], Store(tmp_path), 1, stop)
    assert not raised
    assert len(list(tmp_path.glob("*.checkpoint"))) == 1


def test_a_killed_process_is_said_to_be_killed(tmp_path, monkeypatch):
    """Also where the thread that gets the exit code is slow: nobody else gets the code."""
    waitpid = os.waitpid

    def late(pid, options):
        ended = waitpid(pid, options)
        time.sleep(0.3 * (ended[0] != 0))
        return ended

    monkeypatch.setattr(os, "waitpid", late)
    runs = [(replace(RUN, seed=seed),) for seed in (1, 2)]
    first, second = sweep(runs, Killed(tmp_path))
    assert "seed 1: a process was killed by SIGKILL (out of memory?); run the comm" in first
    assert "seed 2: a process was killed" in second


FROM_STDIN = """
import sys
from pathlib import Path
from gradreg_experiments.runs import Run
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.sweep import sweep
run = Run(data="digits", train=60, network="lenet", seed=1, batch=12, iterations=2)
print(*sweep([(run,)], Store(Path(sys.argv[1]))))
"""


def test_a_process_that_cannot_start_is_not_said_to_be_killed(tmp_path):
    """Of a program on standard input: the process looks for a file of the program, and exits."""
    command = [sys.executable, "-", str(tmp_path)]
    done = subprocess.run(command, input=FROM_STDIN, capture_output=True, text=True, timeout=120)
    said = done.stdout
    assert "seed 1: a process ended with exit code 1 before the run was done" in said
    assert "put the program into a file" in said
    assert "killed" not in said


@pytest.mark.parametrize(
    ("codes", "said"),
    [
        ([-signal.SIGTERM, -signal.SIGSEGV], "was ended by SIGSEGV"),
        ([None, 0, -signal.SIGTERM], "for a reason that is not known"),
        ([-signal.SIGKILL, 3], "exit code 3"),
        ([-200], "was ended by signal 200"),
    ],
)
def test_what_is_known_of_a_process_is_said(codes, said):
    assert said in of_processes([SimpleNamespace(exitcode=code) for code in codes])
