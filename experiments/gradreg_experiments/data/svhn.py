"""SVHN, cropped digits: MATLAB files of images X (32, 32, 3, n) and labels y (n, 1), 10 for 0.

In the published files y is a double of MATLAB, stored in one byte a number, as MATLAB does with
whole numbers; other programs write other types.
"""

import math
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from gradreg_experiments.data.dataset import DataSet, FileRead, Images, Known, Labels, count_notes
from gradreg_experiments.data.disk import LIMIT, as_labels, content, fingerprint, require
from gradreg_experiments.data.matlab import Variable, read_variables
from gradreg_experiments.data.problems import gather

SHAPE = (32, 32, 3)


def read(known: Known, folder: Path, _: Path | None) -> DataSet:
    """Both files."""
    (train, train_labels, train_file), (test, test_labels, test_file) = gather(
        partial(part, known, folder, name) for name in ("train_32x32.mat", "test_32x32.mat")
    )
    return DataSet(
        known.name,
        train,
        train_labels,
        test,
        test_labels,
        tuple("0123456789"),
        known.source,
        files=(train_file, test_file),
        notes=count_notes(known, train_labels, test_labels),
    )


def part(known: Known, folder: Path, name: str) -> tuple[Images, Labels, FileRead]:
    """Images (n, 3, 32, 32), labels (n,)."""
    path = require(folder, name)
    X, y = variables(path)
    labels = y.ravel()
    other = labels[~np.isin(labels, range(1, 11))]
    if len(other):
        raise ValueError(f"expected labels 1 to 10 in {path}, got {other[0]}")
    images = np.ascontiguousarray(X.transpose(3, 2, 0, 1))
    return (
        images,
        as_labels(path, labels.real.astype(np.int64) % 10, len(images), 10),
        fingerprint(known, name, path),
    )


def variables(path: Path) -> tuple[NDArray[Any], NDArray[Any]]:
    """X and y, their numbers read only if what is said of them is right."""
    data = content(path, LIMIT)
    try:
        found = read_variables(data)
        X, y = found.get("X", Variable()), found.get("y", Variable())
        if X.kind != "uint8" or X.shape[:-1] != SHAPE or not math.prod(X.shape):
            raise ValueError(f"X {X.shape}, {X.kind}")
        if y.kind not in ("double", "uint8") or y.shape != (X.shape[-1], 1):
            raise ValueError(f"y {y.shape}, {y.kind}, beside X {X.shape}")
        images, labels = X.array(), y.array()
        if images.dtype != np.uint8:
            raise ValueError(f"X stored as {images.dtype}")
        return images, labels
    # Damaged bytes may raise anything; whatever it is, the file is not what it should be.
    except Exception as error:
        raise ValueError(
            f"expected X (32, 32, 3, n), uint8, and y (n, 1) in {path}, a MATLAB 5 file, "
            f"got: {error or type(error).__name__}; get the file anew"
        ) from error
