"""Files: read whole and within bounds, or refused in one sentence; written whole, or not at all."""

import json
import math
import os
import stat
import tomllib
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BufferedReader
from pathlib import Path
from typing import Any, TypeVar

T = TypeVar("T")
# Bytes. Empty lists take 25 times their bytes in memory, and long dotted keys of TOML take
# time with the square of their length.
MOST_JSON, MOST_TOML = 8 << 20, 64 << 10
_DEEPEST = 64  # lists and tables in one another
# Any error that the contents of a file can cause in their reader.
WRONG = (ValueError, LookupError, TypeError, AttributeError, ArithmeticError, RecursionError)


def read_json(
    path: Path, what: str, make: Callable[[Any], T], *, remedy: str = "", finite: bool = True
) -> T:
    """Return what a JSON file holds.

    Parameters
    ----------
    path : Path
        A regular file in UTF-8, with a byte order mark or without.
    what : str
        What the file should hold, for the sentence.
    make : callable
        Makes what is asked for of the data; it may raise any of `WRONG` on data that are others.
    remedy : str
        What to do about a file that is another.
    finite : bool
        Refuse NaN and numbers beyond all bounds.

    Raises
    ------
    ValueError
        The file cannot be read, is no JSON, has a key twice, or holds something else. The sentence
        names the file.
    """
    number = _finite_number if finite else float

    def parse(text: str) -> Any:
        return json.loads(
            text, object_pairs_hook=_once_each, parse_constant=number, parse_float=number
        )

    return read(path, MOST_JSON, what, lambda text: make(_shallow(parse(text))), remedy)


def read_toml(path: Path, what: str) -> dict[str, Any]:
    """The table of a TOML file; refused as by `read_json`."""

    def parse(text: str) -> dict[str, Any]:
        return _shallow(tomllib.loads(text, parse_float=_finite_number))

    return read(path, MOST_TOML, what, parse)


def _finite_number(text: str) -> float:
    """A number of a file, unless it is NaN or beyond all bounds."""
    if not math.isfinite(float(text)):
        raise ValueError(f"{text}, which is no finite number")
    return float(text)


def read(path: Path, most: int, what: str, make: Callable[[str], T], remedy: str = "") -> T:
    """Pass the text of a regular file of at most so many bytes to `make`; return the result."""
    try:
        return make(_contents(path, most).decode("utf-8-sig"))
    except OSError as error:
        reason, cause = (error.strerror or str(error)).lower(), error
    except WRONG as error:
        reason, cause = in_words(error), error  # type: ignore[assignment]
    end = f"; {remedy}" if remedy else ""
    raise ValueError(f"expected {what} in {path}, got: {reason}{end}") from cause


@contextmanager
def opened(path: Path) -> Iterator[BufferedReader]:
    """A regular file, to read from; a pipe or a device would keep the reader waiting for ever."""
    with open(path, "rb", opener=_at_once) as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise ValueError("no regular file")
        yield file


def _contents(path: Path, most: int) -> bytes:
    """The bytes of a regular file."""
    with opened(path) as file:
        found = file.read(most + 1)
    if len(found) > most:
        raise ValueError(f"more than {most} bytes")
    return found


def _at_once(path: str, how: int) -> int:
    """Open without waiting for somebody to write into a pipe; Windows has no such pipes."""
    return os.open(path, how | getattr(os, "O_NONBLOCK", 0))


def in_words(error: Exception) -> str:
    """Say what is wrong with the contents; a missing key says nothing but its name."""
    if isinstance(error, KeyError):
        return f"no {error.args[0]!r}" if error.args else "no such key"
    if isinstance(error, RecursionError):
        return "lists or tables too deep in one another"
    return str(error) or type(error).__name__


def _once_each(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, whose keys are all different."""
    made = dict(pairs)
    if len(made) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"the key {twice!r} twice")
    return made


def _shallow(data: T) -> T:
    """The data, unless they are nested so deeply that a reader or a message about them fails."""
    level: list[Any] = [data]
    for _ in range(_DEEPEST):
        level = [
            entry
            for each in level
            if isinstance(each, dict | list)
            for entry in (each.values() if isinstance(each, dict) else each)
        ]
        if not level:
            return data
    raise RecursionError


def require_writable(path: Path, what: str) -> None:
    """Before work begins: whether `write_atomically` can write there.

    Raises
    ------
    ValueError
        A folder, a pipe or a device is there.
    OSError
        The system refuses a file there.
    """
    if path.exists() and not path.is_file():
        raise ValueError(
            f"expected a file to write {what} to, got {path}, which is no regular file"
        )
    with _beside(path) as part:
        part.touch()


def write_atomically(path: Path, content: bytes) -> None:
    """Write beside `path`, then rename: no reader, and no interruption, finds half a file."""
    with _beside(path) as part:
        with part.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)


def require_ours(path: Path, what: str, is_ours: Callable[[str], object], remedy: str) -> None:
    """Before a file is replaced: that it was written by us, or is empty, or that there is none.

    Raises
    ------
    ValueError
        A file of others, or no regular file.
    """

    def check(text: str) -> None:
        if text and not is_ours(text):
            raise ValueError("something else")

    if os.path.lexists(path):
        read(path, MOST_JSON, f"{what} to replace, or no file,", check, remedy)


@contextmanager
def _beside(path: Path) -> Iterator[Path]:
    """The name of a file beside another, of which nothing is left; errors name the other."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):  # where it could not be made, this fails too
            part.unlink(missing_ok=True)
