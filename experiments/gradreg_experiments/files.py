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

from gradreg_verify.files import read_json
from gradreg_verify.files import require_writable as require_writable_file

try:
    import fcntl
except ImportError:  # Windows has none, and no lock
    fcntl = None  # type: ignore[assignment]

_HOLDER = b"process "  # what a lock begins with
# Of a path in a command, which need not be UTF-8.
ESCAPED = "backslashreplace"


_SUFFIXES = ("json", "csv", "png", "svg")  # of the files of a result; the record comes first


def require_writable(folder: Path, *results: str) -> None:
    """Make the folder, and find out now, not after the training, what cannot be written there.

    Parameters
    ----------
    folder : Path
        For the results.
    results : str
        The names of results that replace earlier ones, but no file of others.
    """
    if os.path.lexists(folder) and not folder.is_dir():
        raise NotADirectoryError(
            f"expected a folder for the results, got {folder}, which is no folder"
        )
    folder.mkdir(parents=True, exist_ok=True)
    try:
        require_writable_file(folder / ".writable", "results")
    except OSError as error:
        error.filename = str(folder)
        raise
    for name in results:
        _require_ours(folder, name)


def _require_ours(folder: Path, name: str) -> None:
    """Each file of the name is a file, and a result of ours: its record names the command."""
    there = [path for s in _SUFFIXES if os.path.lexists(path := folder / f"{name}.{s}")]
    remedy = "move {} away, or give another --out"
    for path in there:
        if not path.is_file():
            raise ValueError(f"expected a file, or none, at {path}; {remedy.format(path.name)}")

    def command(record: Any) -> None:
        if not record["command"].startswith("gradreg "):
            raise ValueError("another command")

    if there:
        what = f"the record of {there[-1].name}, as gradreg writes it,"
        record = folder / f"{name}.json"
        read_json(record, what, command, remedy=remedy.format(there[-1].name), finite=False)


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
        file.seek(0)
        if file.read(len(_HOLDER)) not in (b"", _HOLDER):
            raise ValueError(f"expected a lock of gradreg, or none, at {lock}; give another --out")
        file.truncate(0)
        command = shlex.join(["gradreg", *sys.argv[1:]])
        file.write(_HOLDER + f"{os.getpid()} ({command})".encode(errors=ESCAPED))
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
