"""MNIST, and Fashion-MNIST in the same format under the same names."""

import hashlib
from functools import partial
from pathlib import Path

from gradreg_experiments.data.dataset import DataSet, FileRead, Images, Known, Labels, gather
from gradreg_experiments.data.disk import as_labels, fingerprint, require
from gradreg_experiments.data.idx import header, read_idx

_SIDE = 28
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
