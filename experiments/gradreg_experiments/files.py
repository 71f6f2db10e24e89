"""Folders of results: writable, used by one process at a time; and what made a result."""

import os
import platform
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from gradreg_verify.files import write_atomically

try:
    import fcntl
except ImportError:  # Windows has none, and no lock
    fcntl = None  # type: ignore[assignment]

# Of a path in a command, which need not be UTF-8.
ESCAPED = "backslashreplace"


def require_writable(folder: Path) -> None:
    """Make the folder, and find out now, not after the training, whether it can be written to."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"expected a folder for the results, got the file {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    # The name is of this process: another process on the folder has another name.
    write_atomically(probe := folder / f".writable.{os.getpid()}", b"")
    probe.unlink(missing_ok=True)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Keep the folder to this process, so that no other trains the same runs in it.

    Raises
    ------
    ValueError
        Another process has the folder; the sentence says which. The lock of a process that ends,
        in whatever way, is free.
    """
    folder.mkdir(parents=True, exist_ok=True)
    lock = folder / ".lock"
    if lock.exists() and not lock.is_file():
        raise ValueError(f"expected {lock} to be a file, got a folder or a device; delete it")
    with lock.open("a+b") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                holder = file.read(500).decode(errors="replace") or "another process"
                raise ValueError(
                    f"expected {folder} to be free, got it in use by {holder}; wait for its end, "
                    "or give another --out"
                ) from error
        file.truncate(0)
        file.write(f"process {os.getpid()} ({shlex.join(['gradreg', *sys.argv[1:]])})".encode())
        file.flush()
        yield
        file.truncate(0)


def made_here(*packages: str) -> dict[str, Any]:
    """Versions of Python, of what decides the numbers and of other packages, and the machine."""
    names = ("gradreg-ref", "torch", "numpy", *packages)
    return {
        "versions": {"python": platform.python_version()} | {name: version(name) for name in names},
        "machine": f"{platform.system()} {platform.machine()}",
    }
