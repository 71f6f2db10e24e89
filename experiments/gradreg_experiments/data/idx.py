"""IDX, the format of MNIST: 0, 0, 8 (bytes), number of axes; lengths, 4 bytes each; the bytes.

All numbers are big-endian. The header is compared with the file's size before memory is allocated.
"""

import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradreg_experiments.data.disk import LIMIT, content, regular

_UNSIGNED_BYTES = 8
_MOST_DEFLATED = 1032  # bytes that one byte of a deflate stream can stand for, at most


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
        The file is no IDX file, is cut off, or holds more than the header says; or it is a pipe or
        a device.
    """
    if path.suffix == ".gz":
        try:
            return _unpack(path, axes)
        except (EOFError, zlib.error) as error:
            raise ValueError(f"expected a whole gzip file in {path}, got: {error}") from error
    start = 4 + 4 * axes
    with regular(path) as file:
        shape = _shape_of(path, file.read(start), axes)
    if (got := path.stat().st_size - start) != math.prod(shape):
        raise ValueError(_said(path, shape, f"{got} bytes"))
    return np.memmap(path, np.uint8, mode="r", offset=start, shape=shape)


def _shape_of(path: Path, start: bytes, axes: int) -> tuple[int, ...]:
    """The lengths of the axes in a header, none of them 0."""
    magic = bytes([0, 0, _UNSIGNED_BYTES, axes])
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


def _unpack(path: Path, axes: int) -> NDArray[np.uint8]:
    """The bytes that the header announces.

    Published files have one gzip member. `gzip` would read millions of empty members, for hours.
    """
    stream = zlib.decompressobj(wbits=31)  # with gzip's header and sum

    def unpacked(packed: bytes, most: int) -> bytes:
        data = stream.decompress(packed, most)
        if stream.unused_data:
            raise EOFError("more after its end")
        if len(data) < most and not stream.eof:
            raise EOFError("a file that ends before its contents do")
        return data

    shape = _shape_of(path, unpacked(content(path, LIMIT), 4 + 4 * axes), axes)
    size, compressed = math.prod(shape), path.stat().st_size
    if size > _MOST_DEFLATED * compressed:
        raise ValueError(_said(path, shape, f"a file of {compressed} compressed bytes"))
    # Read one byte more, to notice a longer file and to check the sum at the end.
    data = unpacked(stream.unconsumed_tail, size + 1)
    if len(data) != size:
        raise ValueError(_said(path, shape, "more" if len(data) > size else f"{len(data)} bytes"))
    return np.frombuffer(data, np.uint8).reshape(shape)


def _said(path: Path, shape: tuple[int, ...], got: str) -> str:
    """The error for a file that differs from its header."""
    return (
        f"expected {math.prod(shape)} bytes of data in {path}, "
        f"as its header says (shape {shape}), got {got}; get the file anew"
    )
