"""Files as they lie on disk: found, bounded in size, and compared with the published sums."""

import gzip
import hashlib
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from io import BufferedReader
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gradreg_experiments.data.dataset import FileRead, Known, Labels
from gradreg_verify.files import opened

PUBLISHED = "the published file"
LIMIT = 1 << 28  # bytes; the largest published file, CIFAR-100's train, has 155 million


def locate(folder: Path, name: str) -> Path | None:
    """The file of that name; an IDX file may be gzipped, or be spelled ``.idx3``."""
    spellings = [name]
    if "-idx" in name:
        dotted = name.replace("-idx", ".idx")
        spellings = [name, dotted, f"{name}.gz", f"{dotted}.gz"]
    return next((folder / s for s in spellings if (folder / s).exists()), None)


def published_files(known: Known, folder: Path) -> Iterator[tuple[str, Path]]:
    """The published files of a data set that a folder has: the published name, and the path."""
    for name in known.files:
        if path := locate(folder, name):
            yield name, path


def require(folder: Path, name: str) -> Path:
    """The file of that name; without one, an error in a sentence."""
    path = locate(folder, name)
    if path is None:
        what = "an empty folder" if not any(folder.iterdir()) else "no such file"
        raise FileNotFoundError(f"expected {folder / name}, got {what}")
    if not path.is_file():  # reading a pipe would never end
        raise ValueError(f"expected {path} to be a file, got a folder or a device")
    _require_small(path, LIMIT)
    return path


def _require_small(path: Path, limit: int) -> None:
    """Refuse a file above the limit: no published file is that large."""
    size = path.stat().st_size
    if size > limit:
        raise ValueError(f"expected at most {limit} bytes in {path}, got {size}; get it anew")


def content(path: Path, limit: int) -> bytes:
    """Return all bytes of a file."""
    with regular(path) as file:
        _require_small(path, limit)
        return file.read()


@contextmanager
def regular(path: Path) -> Iterator[BufferedReader]:
    """Open a file to read from; `ValueError` names a pipe or a device, which may never end."""
    with ExitStack() as closing:
        try:
            file = closing.enter_context(opened(path))
        except ValueError as error:
            raise ValueError(f"expected a file in {path}, got: {error}") from error
        yield file


def fingerprint(known: Known, name: str, path: Path, *, whole: bool = False) -> FileRead:
    """Size and sums of a file, compared with the published sums.

    Parameters
    ----------
    known : Known
        The data set that the file belongs to.
    name : str
        Name of the published file.
    path : Path
        Path of the file here.
    whole : bool
        Whether the file was read in full. The contents of a gzipped file are then compared, too.
    """
    data, sums = path.read_bytes(), known.files[name]
    md5 = _md5(data)
    if not sums:
        remark = "no published sum is known"
    elif md5 in sums:
        remark = PUBLISHED
    elif path.suffix == ".gz" and not whole:
        remark = "not the published file; its contents were not compared"
    elif path.suffix == ".gz" and _md5(gzip.decompress(data)) in sums:
        remark = "the published contents, compressed anew"
    else:
        remark = "not the published file"
    return FileRead(path, len(data), md5, hashlib.sha256(data).hexdigest(), remark)


def _md5(data: bytes) -> str:
    """The sum by which files are published."""
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def as_labels(path: Path, labels: NDArray[np.integer], images: int, classes: int) -> Labels:
    """One label for each image, each in [0, classes)."""
    if len(labels) != images:
        raise ValueError(
            f"expected one label for each image in {path}, got {images} images and "
            f"{len(labels)} labels"
        )
    if not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"expected labels in [0, {classes}) in {path}, "
            f"got {labels.min()} to {labels.max()}; get the file anew"
        )
    return labels.astype(np.int64)
