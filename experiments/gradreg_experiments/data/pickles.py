"""CIFAR's python version, read without running it.

A pickle is a program. The published files are all written alike, by Python 2 and an old NumPy: a
dict of strings, numbers, lists of those, and one array of bytes. So their opcodes are read as a
text of that one form. Nothing is called or built by name, and any other form is refused.
"""

import pickletools
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradreg_experiments.data.disk import LIMIT, content

OPCODES = 1_000_000  # the largest published file, CIFAR-100's train, has about 200,000
STRINGS, NUMBERS = {"SHORT_BINSTRING", "BINSTRING"}, {"BININT", "BININT1", "BININT2"}
Token = tuple[str, Any]

# What NumPy writes around an array: "n" and "k" are its shape, "bytes" what it holds.
ARRAY: tuple[Token, ...] = (
    *(("GLOBAL", "numpy.core.multiarray _reconstruct"), ("GLOBAL", "numpy ndarray")),
    *(("BININT1", 0), ("TUPLE1", None), ("SHORT_BINSTRING", "b"), ("TUPLE3", None)),
    *(("REDUCE", None), ("MARK", None), ("BININT1", 1), ("n", None), ("k", None)),
    *(("TUPLE2", None), ("GLOBAL", "numpy dtype"), ("SHORT_BINSTRING", "u1"), ("BININT1", 0)),
    *(("BININT1", 1), ("TUPLE3", None), ("REDUCE", None), ("MARK", None), ("BININT1", 3)),
    *(("SHORT_BINSTRING", "|"), ("NONE", None), ("NONE", None), ("NONE", None)),
    *(("BININT", -1), ("BININT", -1), ("BININT1", 0), ("TUPLE", None), ("BUILD", None)),
    *(("NEWFALSE", None), ("bytes", None), ("TUPLE", None), ("BUILD", None)),
)
KINDS = {"n": NUMBERS, "k": NUMBERS, "bytes": STRINGS}


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
        return dictionary(tokens(data))
    # `pickletools` reads a damaged file into whatever exception comes first.
    except Exception as error:
        raise ValueError(
            f"expected a file of CIFAR's python version, as published, in {path}, "
            f"got: {error or type(error).__name__}; get the file anew"
        ) from error


def tokens(data: bytes) -> list[Token]:
    """Opcodes and their arguments, the last one first; no published file reads its memo."""
    found, end = list[Token](), 0
    for opcode, argument, at in islice(pickletools.genops(data), OPCODES):
        end = (at or 0) + 1
        if opcode.name not in ("BINPUT", "LONG_BINPUT"):
            found.append((opcode.name, argument))
    if more := len(data) - end:
        raise ValueError(f"{more} bytes after its end, or more than {OPCODES} opcodes")
    return found[::-1]


def dictionary(left: list[Token]) -> dict[str, Any]:
    """The whole file: a dict of several keys."""
    for wanted in (("PROTO", 2), ("EMPTY_DICT", None), ("MARK", None)):
        take(left, wanted)
    out = dict[str, Any]()
    while left[-1] != ("SETITEMS", None):
        key = atom(left, STRINGS)
        out[key] = value(left)
    take(left, ("SETITEMS", None))
    take(left, ("STOP", None))
    return out


def value(left: list[Token]) -> Any:
    """The value of a key."""
    if left[-1] == ("EMPTY_LIST", None):
        return items(left)
    return array(left) if left[-1] == ARRAY[0] else atom(left, STRINGS | NUMBERS)


def items(left: list[Token]) -> list[Any]:
    """A list of strings and numbers, which is written a thousand at a time."""
    take(left, ("EMPTY_LIST", None))
    out = list[Any]()
    while left[-1] == ("MARK", None):
        left.pop()
        while left[-1] != ("APPENDS", None):
            out.append(atom(left, STRINGS | NUMBERS))
        left.pop()
    return out


def array(left: list[Token]) -> NDArray[np.uint8]:
    """(n, k), row by row: a view of the bytes of the file."""
    found = {}
    for wanted in ARRAY:
        if wanted[0] in KINDS:
            found[wanted[0]] = atom(left, KINDS[wanted[0]])
        else:
            take(left, wanted)
    n, k, data = found["n"], found["k"], found["bytes"].encode("latin1")
    if min(n, k) < 0 or n * k != len(data):
        raise ValueError(f"an array of shape ({n}, {k}) of {len(data)} bytes")
    return np.frombuffer(data, np.uint8).reshape(n, k)


def atom(left: list[Token], kinds: set[str]) -> Any:
    """A string or a number."""
    name, argument = left.pop()
    if name not in kinds:
        raise ValueError(f"{shown((name, argument))} where a value is expected")
    return argument


def take(left: list[Token], wanted: Token) -> None:
    """Go past a token that must come."""
    if (found := left.pop()) != wanted:
        raise ValueError(f"{shown(found)} where {shown(wanted)} is expected")


def shown(token: Token) -> str:
    """A token, as shown in a sentence."""
    name, argument = token
    return name if argument is None else f"{name} {repr(argument)[:40]}"
