"""List the data sets in a folder: whether each can be read, and which parts it has."""

import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gradreg_experiments.data.dataset import Broken, DataSet, FileRead, Known
from gradreg_experiments.data.disk import LIMIT, fingerprint, locate, published_files
from gradreg_experiments.data.known import DATA_SETS
from gradreg_experiments.data.loading import find, load


class _Finding(NamedTuple):
    """Whether a data set is there, whether it is broken, and what is printed of it."""

    there: bool
    broken: bool
    text: str


def check(folder: Path, cache: Path) -> Iterator[_Finding]:
    """Read every data set that the folder holds, one after the other.

    Parameters
    ----------
    folder : Path
        As for `load`.
    cache : Path
        As for `load`.

    Yields
    ------
    Finding
        For each data set that has files.
    """
    for known in DATA_SETS.values():
        if known.files:
            place = find(known, folder)
            if place is None or (place == folder and not _named_so(known, folder)):
                yield _Finding(False, False, f"{known.name}: not there; {known.source}")
            else:
                yield _checked(known, place, cache)


def _named_so(known: Known, folder: Path) -> bool:
    """MNIST and Fashion-MNIST have the same files: only the name of the folder tells them apart."""
    fashion = "fashion" in "/".join(Path(os.path.realpath(folder)).parts[-2:]).lower()
    return {"mnist": not fashion, "fashion-mnist": fashion}.get(known.name, True)


def _checked(known: Known, place: Path, cache: Path) -> _Finding:
    """Read the whole data set."""
    missing, problems = [n for n in known.files if locate(place, n) is None], tuple[str, ...]()
    try:
        data = load(known.name, place, cache)
    except Broken as error:
        state, problems = "broken", error.sentences
        lines = [_file_line(place, file) for file in _files_here(known, place)]
    else:
        counts = len(data.train_labels), len(data.test_labels)
        state = "partly there" if missing or counts != known.counts else "found"
        lines = [*_described(data, place)]
    lines += [f"    not there: {', '.join(missing)}"] if missing else []
    lines += [f"    PROBLEM {problem}" for problem in problems]
    lines += [f"    obtained from {known.source}"] if missing or problems else []
    text = "\n".join([f"{known.name}: {state}, {place}", *lines])
    return _Finding(True, bool(problems), text)


def _files_here(known: Known, place: Path) -> Iterator[FileRead]:
    """Sums of the files, whether or not a data set can be read from them."""
    for name, path in published_files(known, place):
        # The problems name a larger file with its size; its sum would take too long.
        if path.is_file() and path.stat().st_size <= LIMIT:
            with suppress(OSError):  # which is among the problems already
                yield fingerprint(known, name, path)


def _described(data: DataSet, place: Path) -> Iterator[str]:
    """Lines on both parts (how evenly over the classes), the files, and the notes."""
    k = len(data.classes)
    for part, name in (("train", "training"), ("test", "test")):
        images, labels = getattr(data, f"{part}_images"), getattr(data, f"{part}_labels")
        each, shape = np.bincount(labels, minlength=k), " × ".join(map(str, images.shape[1:]))
        yield (
            f"    {name}: {len(images)} images of {shape}, "
            f"{k} classes of {each.min()} to {each.max()} each"
        )
    yield from (_file_line(place, file) for file in data.files)
    yield from (f"    note: {note}" for note in data.notes)


def _file_line(place: Path, file: FileRead) -> str:
    """Name, size and sum of a file."""
    return f"    {file.path.relative_to(place)}: {file.size} bytes, MD5 {file.md5}, {file.remark}"
