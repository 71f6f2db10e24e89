"""Python pickles that hold arrays of bytes, lists, numbers and strings; nothing else is built.

A pickle is a program. The one of an array calls a few functions by name; they are replaced here by
stand-ins that only keep what they are given, so nothing of NumPy runs either, and any other name is
refused. Before it runs, `gradreg_experiments.data.opcodes` reads it through.
"""

import io
import pickle
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradreg_experiments.data.disk import LIMIT, content
from gradreg_experiments.data.opcodes import read_through


def unpickle(path: Path) -> dict[str, Any]:
    """Read a dict.

    Parameters
    ----------
    path : Path
        A pickle of Python 2 or 3, protocol 2 to 4, at most 256 MiB.

    Returns
    -------
    dict
        Its keys as str; arrays of uint8; else lists, bytes, str and numbers.

    Raises
    ------
    ValueError
        It is no such file, or it asks for anything that is not an array.
    """
    data = content(path, LIMIT)
    try:
        read_through(data)
        out = ArraysOnly(data).load()
        if type(out) is not dict:
            raise ValueError(f"a {type(out).__name__} in place of a dict")
        return {as_str(k): v.array() if type(v) is Pickled else v for k, v in out.items()}
    # A damaged program may raise anything; whatever it is, the file is not what it should be.
    except Exception as error:
        raise ValueError(
            f"expected a pickle of arrays, lists and strings in {path}, "
            f"got: {error or type(error).__name__}; get the file anew"
        ) from error


class Pickled:
    """Stands in for ``numpy.ndarray``, and for the function that makes an empty one."""

    def __init__(self, *_: Any) -> None:
        self.state: Any = ()

    def __setstate__(self, state: Any) -> None:
        """What fills the array is kept; nothing is built from it yet."""
        self.state = state

    def array(self) -> NDArray[np.uint8]:
        """The array, a view of the bytes of the pickle."""
        if type(self.state) is not tuple or len(self.state) != 5:
            raise ValueError("an array without its bytes")
        _, shape, dtype, fortran, data = self.state
        if type(dtype) is not Dtype or dtype.code not in ("u1", b"u1"):
            raise ValueError("an array of another dtype than uint8")
        if type(shape) is not tuple or any(type(n) is not int for n in shape):
            raise ValueError("an array whose shape is no tuple of whole numbers")
        if type(data) is not bytes:
            raise ValueError(f"an array whose bytes are of type {type(data).__name__}")
        return np.frombuffer(data, np.uint8).reshape(shape, order="F" if fortran else "C")


class Dtype:
    """Stands in for ``numpy.dtype``."""

    def __init__(self, code: Any, *_: Any) -> None:
        self.code = code

    def __setstate__(self, _: Any) -> None:
        """Byte order and the like, which a byte has not."""


class ArraysOnly(pickle.Unpickler):
    """Finds the stand-ins and nothing else.

    Parameters
    ----------
    program : bytes
        The pickle.
    """

    def __init__(self, program: bytes) -> None:
        super().__init__(io.BytesIO(program), encoding="bytes")
        # What `encode` may still give: every text of the program once, though a hostile one asks
        # for the same again and again.
        self.left = len(program)

    def find_class(self, module: str, name: str) -> Any:
        """The stand-in of an array's function."""
        stand_ins = {
            ("numpy.core.multiarray", "_reconstruct"): Pickled,
            ("numpy._core.multiarray", "_reconstruct"): Pickled,
            ("numpy", "ndarray"): Pickled,
            ("numpy", "dtype"): Dtype,
            ("_codecs", "encode"): self.encode,
        }
        if (module, name) not in stand_ins:
            raise ValueError(f"{f'{module}.{name}'!r}, forbidden as it is no part of an array")
        return stand_ins[module, name]

    def encode(self, text: str, encoding: str) -> bytes:
        """Stands in for ``_codecs.encode``: how Python 3 writes bytes for Python 2."""
        if encoding not in ("latin1", b"latin1"):
            raise ValueError("another codec than latin1")
        self.left -= len(text)
        if self.left < 0:
            raise ValueError("a text that becomes bytes more than once")
        return text.encode("latin1")


def as_str(key: Any) -> str:
    """A key, which Python 2 wrote as bytes."""
    if isinstance(key, bytes):
        return key.decode("latin1")
    if not isinstance(key, str):
        raise ValueError(f"a key of type {type(key).__name__}")
    return key
