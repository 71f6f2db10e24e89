"""MATLAB 5 files of plain arrays: as much of the format as the published files use.

SciPy's reader believes what it finds: with one wrong bit it gives numbers of another type, the
second of two variables of one name, or a segmentation fault (a real array that is said to be
complex). This one reads no byte without having held its count against the file.

A file is 128 bytes of head and then elements: type and size, 4 bytes each, and the data, filled up
to 8 bytes. Small ones have both in 4 bytes, and their data in the next 4.
"""

import math
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradreg_experiments.data.disk import LIMIT

HEAD, VERSION = 128, b"\x00\x01IM"  # little-endian, as all published ones are
INT8, INT32, UINT32, MATRIX, COMPRESSED = 1, 5, 6, 14, 15
STORED = {1: "i1", 2: "u1", 3: "<i2", 4: "<u2", 5: "<i4", 6: "<u4", 7: "<f4", 9: "<f8"}
CLASSES = {
    **dict(enumerate(("cell", "struct", "object", "char", "sparse", "double", "single"), 1)),
    **dict(enumerate(("int8", "uint8", "int16", "uint16", "int32", "uint32"), 8)),
}
COMPLEX = 1 << 11
MOST = 16  # variables: the published files have two
NONE = memoryview(b"")


@dataclass(frozen=True)
class Variable:
    """What a file says of an array, and the elements with its numbers.

    Parameters
    ----------
    kind : str
        MATLAB's class; "missing" if the file has none of that name.
    shape : tuple of int
        Its axes.
    complex : bool
        Imaginary parts come after the real ones.
    numbers : memoryview
        Not looked at yet.
    """

    kind: str = "missing"
    shape: tuple[int, ...] = ()
    complex: bool = False
    numbers: memoryview = NONE

    def array(self) -> NDArray[Any]:
        """In the type in which it is stored, a view of the bytes of the file."""
        parts, rest = [], self.numbers
        for _ in range(1 + self.complex):
            stored, data, rest = element(rest)
            if stored not in STORED:
                raise ValueError(f"numbers of type {stored}")
            numbers = np.frombuffer(data, STORED[stored])
            if len(numbers) != math.prod(self.shape):
                raise ValueError(f"{len(numbers)} numbers for shape {self.shape}")
            parts.append(numbers.reshape(self.shape, order="F"))
        if rest:
            raise ValueError(f"{len(rest)} bytes after the numbers")
        return parts[0] + 1j * parts[1] if self.complex else parts[0]


def read_variables(data: bytes) -> dict[str, Variable]:
    """All of them by their names.

    Raises
    ------
    ValueError, zlib.error
        Anything is not as it should be.
    """
    if data[HEAD - len(VERSION) : HEAD] != VERSION:
        raise ValueError("a file without MATLAB 5's head")
    out = dict[str, Variable]()
    for body in matrices(memoryview(data)[HEAD:]):
        name, variable = described(body)
        if name in out:
            raise ValueError(f"two variables {name!r}")
        out[name] = variable
        if len(out) > MOST:
            raise ValueError(f"more than {MOST} variables")
    return out


def matrices(rest: memoryview) -> Iterator[memoryview]:
    """The elements of a file, unpacked."""
    left = LIMIT
    while rest:
        if int.from_bytes(rest[:4], "little") == COMPRESSED:
            size = 8 + int.from_bytes(rest[4:8], "little")  # filled up with nothing
            kind, body, more = element(unpacked(rest[8:size], left))
            left, rest = left - len(body), rest[size:]
        else:
            (kind, body, rest), more = element(rest), NONE
        if kind != MATRIX or more:
            raise ValueError(f"an element of type {kind}, and {len(more)} bytes, for a variable")
        yield body


def unpacked(packed: memoryview, limit: int) -> memoryview:
    """An element, and no more of it than is left for all variables of a file."""
    stream = zlib.decompressobj()
    data = stream.decompress(packed, limit)
    if not stream.eof or stream.unused_data:
        raise ValueError(f"a variable cut off, or of more than {LIMIT} bytes")
    return memoryview(data)


def element(data: memoryview) -> tuple[int, memoryview, memoryview]:
    """Type, contents, and what comes after."""
    if len(data) < 8:
        raise ValueError("an element cut off")
    kind, size = struct.unpack("<2I", data[:8])
    start, end = 8, 8 + size + -size % 8
    if kind >> 16:  # a small one
        kind, size, start, end = kind & 0xFFFF, kind >> 16, 4, 8
    if end > len(data) or start + size > end:
        raise ValueError(f"an element of {size} bytes where {len(data) - start} are left")
    return kind, data[start : start + size], data[end:]


def described(body: memoryview) -> tuple[str, Variable]:
    """The name, and what is said before the numbers."""
    kinds, fields, rest = [], [], body
    for _ in range(3):
        kind, data, rest = element(rest)
        kinds.append(kind)
        fields.append(data)
    flags, axes, name = fields
    if kinds != [UINT32, INT32, INT8] or len(flags) != 8 or len(axes) % 4:
        raise ValueError("a variable without flags, axes and name")
    (said,) = struct.unpack("<I4x", flags)
    shape = struct.unpack(f"<{len(axes) // 4}i", axes)
    if min(shape, default=-1) < 0:
        raise ValueError(f"a variable of shape {shape}")
    named = CLASSES.get(said & 0xFF, "unknown")
    return bytes(name).decode("latin1"), Variable(named, shape, bool(said & COMPLEX), rest)
