"""Files as they lie on disk: found, bounded in size, and compared with the published sums."""

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


def fingerprint(known: Known, name: str, path: Path, unpacked_md5: str | None = None) -> FileRead:
    """Size and sums of a file, compared with the published sums.

    Parameters
    ----------
    known : Known
        The data set that the file belongs to.
    name : str
        Name of the published file.
    path : Path
        Path of the file here.
    unpacked_md5 : str, optional
        Sum of the contents, if the file is compressed and the contents are known.
    """
    data = path.read_bytes()
    md5 = hashlib.md5(data, usedforsecurity=False).hexdigest()
    published = known.files.get(name, ())
    if not published:
        remark = "no published sum is known"
    elif md5 in published:
        remark = PUBLISHED
    elif unpacked_md5 in published:
        remark = "the published contents, compressed anew"
    elif path.suffix == ".gz" and unpacked_md5 is None:
        remark = "not the published file; its contents were not compared"
    else:
        remark = "not the published file"
    return FileRead(path, len(data), md5, hashlib.sha256(data).hexdigest(), remark)


def as_labels(path: Path, labels: NDArray[np.integer], images: int, classes: int) -> Labels:
    """One label for each image, each in [0, classes)."""
    if len(labels) != images:
        raise ValueError(
            f"expected one label for each image in {path}, got {images} images and "
            f"{len(labels)} labels"
        )
    if labels.size and not 0 <= labels.min() <= labels.max() < classes:
        raise ValueError(
            f"expected labels in [0, {classes}) in {path}, "
            f"got {labels.min()} to {labels.max()}; get the file anew"
        )
    return labels.astype(np.int64)
