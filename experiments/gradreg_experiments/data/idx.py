"""IDX, the format of MNIST: 0, 0, 8 (bytes), number of axes; lengths, 4 bytes each; the bytes.

All numbers are big-endian. A header is not believed before the file is large enough for it.
"""

import math
import struct
import zlib
from pathlib import Path
from typing import BinaryIO, Protocol

import numpy as np
from numpy.typing import NDArray

UNSIGNED_BYTES = 8
LIMIT = 1 << 28  # bytes; the largest published file has 47 million
CHUNK, PACKED_CHUNK = 1 << 20, 1 << 16
MOST_DEFLATED = 1032  # bytes that one byte of a deflate stream can stand for, at most


def header(shape: tuple[int, ...]) -> bytes:
    """The bytes before the data."""
    return bytes([0, 0, UNSIGNED_BYTES, len(shape)]) + struct.pack(f">{len(shape)}I", *shape)


def read_idx(path: Path, axes: int) -> NDArray[np.uint8]:
    """Read a file of unsigned bytes.

    Parameters
    ----------
    path : Path
        The file; the name of a gzipped file ends in ``.gz``.
    axes : int
        How many axes the array has: 3 for images, 1 for labels.

    Returns
    -------
    array of uint8
        Memory-mapped and read-only if the file is not compressed.

    Raises
    ------
    ValueError
        The file is no IDX file, is cut off, or holds more than the header says.
    """
    if path.suffix != ".gz":
        with path.open("rb") as file:
            shape = read_header(path, file, axes)
        size, start = math.prod(shape), len(header(shape))
        if (got := path.stat().st_size - start) != size:
            raise ValueError(said(path, shape, f"{got} bytes"))
        return np.memmap(path, np.uint8, mode="r", offset=start, shape=shape)
    try:
        with path.open("rb") as packed:
            return unpack(path, Member(packed), axes)
    except (EOFError, zlib.error) as error:
        raise ValueError(f"expected a whole gzip file in {path}, got: {error}") from error


class Readable(Protocol):
    """A file, or what is in it."""

    def read(self, size: int, /) -> bytes:
        """At most so many bytes; none at the end."""


class Member:
    """What is in a gzip file of one member. Published files have one member, and `gzip` would read
    millions of empty members, for hours.

    Parameters
    ----------
    file : BinaryIO
        The compressed bytes.
    """

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.stream = file, zlib.decompressobj(wbits=31)  # with gzip's header and sum

    def read(self, size: int, /) -> bytes:
        """So many bytes, or the bytes that are left; at the end the sum is checked."""
        out = bytearray()
        while len(out) < size and not self.stream.eof:
            packed = self.stream.unconsumed_tail or self.file.read(PACKED_CHUNK)
            if not packed:
                raise EOFError("a file that ends before its contents do")
            out += self.stream.decompress(packed, size - len(out))
        if self.stream.eof and (self.stream.unused_data or self.file.read(1)):
            raise EOFError("more after its end")
        return bytes(out)


def read_header(path: Path, file: Readable, axes: int) -> tuple[int, ...]:
    """The lengths of the axes, none of them 0."""
    start = file.read(4 + 4 * axes)
    magic = bytes([0, 0, UNSIGNED_BYTES, axes])
    if start[:4] != magic:
        raise ValueError(
            f"expected {path} to begin with {magic.hex(' ')} (IDX, bytes, {axes} axes), "
            f"got {start[:4].hex(' ') or 'an empty file'}"
        )
    if len(start) < 4 + 4 * axes:
        raise ValueError(
            f"expected a header of {4 + 4 * axes} bytes in {path}, got {len(start)} bytes"
        )
    shape = struct.unpack(f">{axes}I", start[4:])
    if 0 in shape:
        raise ValueError(f"expected data in {path}, got shape {shape}")
    if math.prod(shape) > LIMIT:
        raise ValueError(
            f"expected at most {LIMIT} bytes of data in {path}, got a header that says "
            f"{math.prod(shape)} (shape {shape}); get the file anew"
        )
    return shape


def unpack(path: Path, file: Readable, axes: int) -> NDArray[np.uint8]:
    """The bytes that the header announces, and at most one byte more."""
    shape = read_header(path, file, axes)
    size, packed = math.prod(shape), path.stat().st_size
    if size > MOST_DEFLATED * packed:
        raise ValueError(said(path, shape, f"a file of {packed} compressed bytes"))
    data = bytearray()
    # One byte beyond, so that a file that goes on is seen, and the checksum at its end is read.
    while chunk := file.read(min(CHUNK, size + 1 - len(data))):
        data += chunk
    if len(data) != size:
        raise ValueError(said(path, shape, "more" if len(data) > size else f"{len(data)} bytes"))
    return np.frombuffer(data, np.uint8).reshape(shape)


def said(path: Path, shape: tuple[int, ...], got: str) -> str:
    """The error for a file that differs from its header."""
    return (
        f"expected {math.prod(shape)} bytes of data in {path}, "
        f"as its header says (shape {shape}), got {got}; get the file anew"
    )
