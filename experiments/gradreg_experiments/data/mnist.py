"""Grey images: MNIST, Fashion-MNIST in the same format under the same names, and the digits."""

import hashlib
from functools import partial
from pathlib import Path

import numpy as np

from gradreg_experiments.data.dataset import DataSet, FileRead, Images, Known, Labels, gather
from gradreg_experiments.data.disk import as_labels, fingerprint, require
from gradreg_experiments.data.idx import header, read_idx
from gradreg_experiments.needs import need

_SIDE = 28
_DIGITS_TEST = 500  # images, from the end
_CLOTHES = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
_NAMES = {"mnist": tuple("0123456789"), "fashion-mnist": tuple(_CLOTHES.split(", "))}


def read(known: Known, folder: Path, _: Path | None) -> DataSet:
    """Read the four files."""
    (train, train_files), (test, test_files) = gather(
        partial(_part, known, folder, prefix) for prefix in ("train", "t10k")
    )
    arrays: tuple[Images, Labels, Images, Labels] = (*train, *test)
    return DataSet(known.name, *arrays, _NAMES[known.name], train_files + test_files)


def _part(
    known: Known, folder: Path, prefix: str
) -> tuple[tuple[Images, Labels], tuple[FileRead, FileRead]]:
    """Images (n, 1, 28, 28) and labels (n,) of a part, and the files."""
    (images, images_file), (labels, labels_file) = gather(
        partial(_array, known, folder, f"{prefix}-{name}-ubyte", axes)
        for name, axes in (("images-idx3", 3), ("labels-idx1", 1))
    )
    if images.shape[1:] != (_SIDE, _SIDE):
        raise ValueError(
            f"expected images of 28 × 28 in {images_file.path}, "
            f"got {images.shape[1]} × {images.shape[2]}"
        )
    checked = as_labels(labels_file.path, labels, len(images), len(_NAMES[known.name]))
    return (images[:, None], checked), (images_file, labels_file)


def _array(known: Known, folder: Path, name: str, axes: int) -> tuple[Images, FileRead]:
    """The array of one file, and what is known of the file."""
    path = require(folder, name)
    data = read_idx(path, axes)
    contents = hashlib.md5(header(data.shape), usedforsecurity=False)
    contents.update(data.data)
    return data, fingerprint(known, name, path, contents.hexdigest())


def read_digits(known: Known, _: Path | None, __: Path | None) -> DataSet:
    """Scikit-learn's digits (1, 8, 8), from 0 to 16: every experiment runs on a new machine."""
    need("the data set digits", "sklearn")
    from sklearn import datasets

    found, n = datasets.load_digits(), _DIGITS_TEST
    images = found.images.astype(np.uint8)[:, None]
    labels = found.target.astype(np.int64)
    parts = images[:-n], labels[:-n], images[-n:], labels[-n:]
    notes = f"no test images are published: the last {n} are taken", "pixels are 0 to 16"
    return DataSet(known.name, *parts, _NAMES["mnist"], notes=notes)
