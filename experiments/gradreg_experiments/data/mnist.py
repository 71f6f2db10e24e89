"""Grey images: MNIST, Fashion-MNIST in the same format under the same names, and the digits."""

from functools import partial
from pathlib import Path

import numpy as np

from gradreg_experiments.data.dataset import DataSet, Images, Known, Labels, gather
from gradreg_experiments.data.disk import as_labels, require
from gradreg_experiments.data.idx import read_idx
from gradreg_experiments.needs import need

_SIDE = 28
_DIGITS_TEST = 500  # images, from the end
_CLOTHES = "T-shirt/top, Trouser, Pullover, Dress, Coat, Sandal, Shirt, Sneaker, Bag, Ankle boot"
_NAMES = {"mnist": tuple("0123456789"), "fashion-mnist": tuple(_CLOTHES.split(", "))}


def read(known: Known, folder: Path, _: Path | None) -> DataSet:
    """Read the four files."""
    classes = _NAMES[known.name]
    train, test = gather(
        partial(_part, folder, prefix, len(classes)) for prefix in ("train", "t10k")
    )
    parts: tuple[Images, Labels, Images, Labels] = (*train, *test)
    return DataSet(known.name, *parts, classes)


def _part(folder: Path, prefix: str, classes: int) -> tuple[Images, Labels]:
    """Images (n, 1, 28, 28) and labels (n,) of a part."""
    (images_path, images), (labels_path, labels) = gather(
        partial(_array, folder, f"{prefix}-{name}-ubyte", axes)
        for name, axes in (("images-idx3", 3), ("labels-idx1", 1))
    )
    if images.shape[1:] != (_SIDE, _SIDE):
        raise ValueError(
            f"expected images of 28 × 28 in {images_path}, "
            f"got {images.shape[1]} × {images.shape[2]}"
        )
    return images[:, None], as_labels(labels_path, labels, len(images), classes)


def _array(folder: Path, name: str, axes: int) -> tuple[Path, Images]:
    """A file, and its array."""
    path = require(folder, name)
    return path, read_idx(path, axes)


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
