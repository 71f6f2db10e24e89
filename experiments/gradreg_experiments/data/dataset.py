"""What a reader gives: a data set and the files that were read, or every problem of them.

Problems are gathered: a user repairs a data set once, not file by file.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Images = NDArray[np.uint8]
Labels = NDArray[np.int64]
_SHOWN = 10  # problems


@dataclass(frozen=True)
class FileRead:
    """A file, and whether it is the published one.

    Parameters
    ----------
    path : Path
        Where the file is.
    size : int
        Bytes.
    md5, sha256 : str
        Sums of the file as it is on disk.
    remark : str
        "the published file", "not the published file", and the like.
    """

    path: Path
    size: int
    md5: str
    sha256: str
    remark: str


@dataclass(frozen=True)
class DataSet:
    """Images and labels, as published: nothing is scaled, shuffled or left out.

    Parameters
    ----------
    name : str
        A name of `DATA_SETS`.
    train_images, test_images : array (n, c, h, w) of uint8
        Memory-mapped where the file allows it, and then read-only.
    train_labels, test_labels : array (n,) of int64
        In [0, len(classes)).
    classes : tuple of str
        Names of the classes.
    files : tuple of FileRead
        What was read.
    notes : tuple of str
        How the data differ from the published data, and what was chosen here; a sentence each.
    """

    name: str
    train_images: Images
    train_labels: Labels
    test_images: Images
    test_labels: Labels
    classes: tuple[str, ...]
    files: tuple[FileRead, ...] = ()
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class Known:
    """A data set that can be read: an entry of `DATA_SETS`.

    Parameters
    ----------
    name, title : str
        The name in the program, and the name in sentences.
    source : str
        The official page.
    read : callable
        Makes a data set from this entry, the folder of the files, and a folder for a cache or None;
        `load` adds the published files.
    counts : tuple of int
        Published images for training and for testing.
    folders : tuple of str
        Where the files lie in a folder of data, as published or as torchvision keeps them.
    files : mapping
        Name of each published file to its published MD5 sums (compressed and not), where known.
    """

    name: str
    title: str
    source: str
    read: Callable[["Known", Path, Path | None], DataSet]
    counts: tuple[int, int]
    folders: tuple[str, ...] = ()
    files: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


class Broken(ValueError):
    """Everything that is wrong with a data set.

    Parameters
    ----------
    sentences : sequence of str
        One for each problem; it names the file.
    obtained : str
        Where the data set is obtained; "" if the reader of the whole set is to add it.
    """

    def __init__(self, sentences: Iterable[str], obtained: str = "") -> None:
        self.sentences = tuple(sentences)
        shown = self.sentences[:_SHOWN]
        more = len(self.sentences) - len(shown)
        rest = [f"and {more} more; `gradreg data check` lists all"] if more else []
        super().__init__("\n".join([*shown, *rest, *filter(None, [obtained])]))


def gather(readers: Iterable[Callable[[], Any]]) -> list[Any]:
    """Return what each reader gives; raise the problems of all readers if any fails."""
    results, sentences = list[Any](), list[str]()
    for read in readers:
        try:
            results.append(read())
        except (ValueError, OSError) as error:
            sentences += error.sentences if isinstance(error, Broken) else [str(error)]
    if sentences:
        raise Broken(sentences)
    return results
