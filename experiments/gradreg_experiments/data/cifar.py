"""CIFAR-10 and CIFAR-100, the python version: pickled dicts of images and labels."""

from functools import partial
from pathlib import Path

import numpy as np

from gradreg_experiments.data.dataset import DataSet, Images, Known, Labels, gather
from gradreg_experiments.data.disk import as_labels, locate, require
from gradreg_experiments.data.pickles import unpickle

_SHAPE = (3, 32, 32)


def read_10(known: Known, folder: Path, _: Path | None) -> DataSet:
    """Read the training batches that are there (five are published), and the test batch."""
    names = [f"data_batch_{i}" for i in range(1, 6)]
    here = [name for name in names if locate(folder, name)] or names[:1]
    return _read(known, folder, here, "test_batch", "batches.meta", "", 10)


def read_100(known: Known, folder: Path, _: Path | None) -> DataSet:
    """Read CIFAR-100 with the 100 fine labels."""
    return _read(known, folder, ["train"], "test", "meta", "fine_", 100)


def _read(
    known: Known, folder: Path, train: list[str], test: str, meta: str, kind: str, classes: int
) -> DataSet:
    """Read the batches, one after the other, and the names of the classes."""
    batches = (partial(_batch, folder, name, f"{kind}labels", classes) for name in (*train, test))
    names = partial(_class_names, folder, meta, f"{kind}label_names", classes)
    *read, (class_names, notes) = gather((*batches, names))
    images, labels = zip(*read, strict=True)
    # One batch stays a view of the file.
    first = images[0] if len(train) == 1 else np.concatenate(images[:-1])
    parts = first, np.concatenate(labels[:-1]), images[-1], labels[-1]
    return DataSet(known.name, *parts, class_names, notes=notes)


def _batch(folder: Path, name: str, key: str, classes: int) -> tuple[Images, Labels]:
    """Images (n, 3, 32, 32) and labels (n,) of one file."""
    path = require(folder, name)
    fields = unpickle(path)
    if missing := {"data", key} - fields.keys():
        raise ValueError(
            f"expected the keys data and {key} in {path}, got none named {' and '.join(missing)}"
        )
    data, labels = fields["data"], fields[key]
    if not isinstance(data, np.ndarray) or data.shape[1] != np.prod(_SHAPE):
        got = data.shape if isinstance(data, np.ndarray) else type(data).__name__
        raise ValueError(f"expected data in {path} to be an array of shape (n, 3072), got {got}")
    if type(labels) is not list or any(type(label) is not int for label in labels):
        raise ValueError(f"expected {key} in {path} to be a list of whole numbers")
    if not labels:
        raise ValueError(f"expected images in {path}, got none")
    return data.reshape(-1, *_SHAPE), as_labels(path, np.array(labels), len(data), classes)


def _class_names(
    folder: Path, name: str, key: str, classes: int
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The names of the classes, and a note; numbers if the file is not there."""
    if locate(folder, name) is None:
        return tuple(map(str, range(classes))), (f"no file {name}: classes are numbers",)
    path = require(folder, name)
    names = unpickle(path).get(key)
    if type(names) is not list or len(names) != classes:
        raise ValueError(f"expected {key} in {path} to be a list of {classes} names")
    if not all(type(n) is str for n in names):
        raise ValueError(f"expected {key} in {path} to be a list of strings")
    return tuple(names), ()
