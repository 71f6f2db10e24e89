"""A verification that is killed leaves no process behind."""

import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

pytest.importorskip("torch")

# Never returns; and in a way that leaves no other thread a turn.
SOURCE = """
import re
def loop(model, x):
    print("begun", flush=True)
    while True:
        pass
def stuck(model, x):
    print("begun", flush=True)
    re.match(r"(a+)+$", "a" * 64 + "b")
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_the_child_ends_with_its_parent(tmp_path, how):
    # Only Linux kills the child of a process that ended: elsewhere a stuck child goes on.
    name = "stuck" if sys.platform == "linux" else "loop"
    (tmp_path / "f.py").write_text(SOURCE)
    target = [f"{tmp_path / 'f.py'}:{name}", "--kind", "frobreg", "--time-limit", "600"]
    # A shell's background process ignores SIGINT, and so would what it starts.
    command = (
        "import signal, sys; from gradreg_cli import main; "
        "signal.signal(signal.SIGINT, signal.default_int_handler); sys.exit(main(sys.argv[1:]))"
    )
    with subprocess.Popen(
        [sys.executable, "-c", command, "verify", *target],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    ) as parent:
        try:
            assert parent.stdout.readline() == b"begun\n"
            parent.send_signal(how)
            # The end of what is printed, too: of all that have the pipe.
            parent.communicate(timeout=60)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(parent.pid, signal.SIGKILL)
    assert parent.returncode == {signal.SIGINT: 2}.get(how, -how)
