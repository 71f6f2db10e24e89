"""Read CIFAR's python version without running it.

A pickle is a program. The published files are all written alike, by Python 2 and an old NumPy: a
dict of strings, numbers, lists of those, and one array of bytes. So this module reads the opcodes
as a text of that form. It calls and builds nothing by name, and refuses any other form.
"""

import pickletools
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradreg_experiments.data.disk import LIMIT, content

_OPCODES = 1_000_000  # the largest published file, CIFAR-100's train, has about 200,000
_STRINGS, _NUMBERS = {"SHORT_BINSTRING", "BINSTRING"}, {"BININT", "BININT1", "BININT2"}
_Token = tuple[str, Any]

# What NumPy writes around an array: before its shape, and between shape and bytes.
_HEAD = (
    "GLOBAL 'numpy.core.multiarray _reconstruct', GLOBAL 'numpy ndarray', BININT1 0, TUPLE1, "
    "SHORT_BINSTRING 'b', TUPLE3, REDUCE, MARK, BININT1 1"
)
_MIDDLE = (
    "TUPLE2, GLOBAL 'numpy dtype', SHORT_BINSTRING 'u1', BININT1 0, BININT1 1, TUPLE3, REDUCE, "
    "MARK, BININT1 3, SHORT_BINSTRING '|', NONE, NONE, NONE, BININT -1, BININT -1, BININT1 0, "
    "TUPLE, BUILD, NEWFALSE"
)


def unpickle(path: Path) -> dict[str, Any]:
    """Read a dict.

    Parameters
    ----------
    path : Path
        A file of CIFAR's python version, at most 256 MiB.

    Returns
    -------
    dict
        With strings, whole numbers, lists of strings and numbers, and arrays (n, k) of uint8.

    Raises
    ------
    ValueError
        The file is no file of CIFAR's python version.
    """
    data = content(path, LIMIT)
    try:
        return _dictionary(_tokens(data))
    # `pickletools` raises any kind of exception on a damaged file.
    except Exception as error:
        raise ValueError(
            f"expected a file of CIFAR's python version, as published, in {path}, "
            f"got: {error or type(error).__name__}; get the file anew"
        ) from error


def _tokens(data: bytes) -> list[_Token]:
    """Opcodes and their arguments, the last one first; no published file reads its memo."""
    found, end = list[_Token](), 0
    for opcode, argument, at in islice(pickletools.genops(data), _OPCODES):
        end = (at or 0) + 1
        if opcode.name not in ("BINPUT", "LONG_BINPUT"):
            found.append((opcode.name, argument))
    if more := len(data) - end:
        raise ValueError(f"{more} bytes after its end, or more than {_OPCODES} opcodes")
    return found[::-1]


def _dictionary(left: list[_Token]) -> dict[str, Any]:
    """The whole file: a dict of several keys."""
    _take(left, "PROTO 2, EMPTY_DICT, MARK")
    out = dict[str, Any]()
    while left[-1][0] != "SETITEMS":
        key = _atom(left, _STRINGS)
        out[key] = _value(left)
    _take(left, "SETITEMS, STOP")
    return out


def _value(left: list[_Token]) -> Any:
    """The value of a key."""
    if left[-1][0] == "EMPTY_LIST":
        return _items(left)
    return _array(left) if left[-1][0] == "GLOBAL" else _atom(left, _STRINGS | _NUMBERS)


def _items(left: list[_Token]) -> list[Any]:
    """A list of strings and numbers, which is written a thousand at a time."""
    _take(left, "EMPTY_LIST")
    out = list[Any]()
    while left[-1][0] == "MARK":
        left.pop()
        while left[-1][0] != "APPENDS":
            out.append(_atom(left, _STRINGS | _NUMBERS))
        left.pop()
    return out


def _array(left: list[_Token]) -> NDArray[np.uint8]:
    """(n, k), row by row: a view of the bytes of the file."""
    _take(left, _HEAD)
    n, k = _atom(left, _NUMBERS), _atom(left, _NUMBERS)
    _take(left, _MIDDLE)
    data = _atom(left, _STRINGS).encode("latin1")
    _take(left, "TUPLE, BUILD")
    if min(n, k) < 0 or n * k != len(data):
        raise ValueError(f"an array of shape ({n}, {k}) of {len(data)} bytes")
    return np.frombuffer(data, np.uint8).reshape(n, k)


def _atom(left: list[_Token], kinds: set[str]) -> Any:
    """A string or a number."""
    name, argument = left.pop()
    if name not in kinds:
        raise ValueError(f"{_shown((name, argument))} where a value is expected")
    return argument


def _take(left: list[_Token], wanted: str) -> None:
    """Go past tokens that must come."""
    for token in wanted.split(", "):
        if (found := _shown(left.pop())) != token:
            raise ValueError(f"{found} where {token} is expected")


def _shown(token: _Token) -> str:
    """A token, as shown in a sentence."""
    name, argument = token
    return name if argument is None else f"{name} {repr(argument)[:40]}"
