"""Results on disk: whole, or not there."""

import os
from pathlib import Path

# Of a path in a command, which need not be UTF-8.
ESCAPED = "backslashreplace"


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, then rename: no reader, and no interruption, finds half a file."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    except OSError as error:
        error.filename = error.filename or str(path)  # a full disk does not say which
        raise
    finally:
        part.unlink(missing_ok=True)


def require_writable(folder: Path) -> None:
    """Make the folder, and find out now, not after the training, whether it can be written to."""
    if folder.exists() and not folder.is_dir():
        raise NotADirectoryError(f"expected a folder for the results, got the file {folder}")
    folder.mkdir(parents=True, exist_ok=True)
    # Of this process: another one on the same folder has its own.
    write_atomically(probe := folder / f".writable.{os.getpid()}", b"")
    probe.unlink(missing_ok=True)
