"""Scikit-learn's digits: they come with the package, so every experiment runs on a new machine."""

from pathlib import Path

import numpy as np

from gradreg_experiments.data.dataset import DataSet, Known
from gradreg_experiments.needs import need

_TEST = 500  # images, from the end


def read(known: Known, _: Path | None, __: Path | None) -> DataSet:
    """Grey images (1, 8, 8), from 0 to 16."""
    need("the data set digits", "sklearn")
    from sklearn import datasets

    found = datasets.load_digits()
    images = found.images.astype(np.uint8)[:, None]
    labels = found.target.astype(np.int64)
    return DataSet(
        known.name,
        images[:-_TEST],
        labels[:-_TEST],
        images[-_TEST:],
        labels[-_TEST:],
        tuple("0123456789"),
        notes=(f"no test images are published: the last {_TEST} are taken", "pixels are 0 to 16"),
    )
