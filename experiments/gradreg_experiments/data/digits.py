"""Scikit-learn's digits: they come with the package, so every experiment runs on a new machine."""

from importlib.util import find_spec
from pathlib import Path

import numpy as np

from gradreg_experiments.data.dataset import DataSet, Known
from gradreg_verify.frameworks.registry import BackendUnavailable

TEST = 500  # images, from the end


def read(known: Known, _: Path | None, __: Path | None) -> DataSet:
    """Grey images (1, 8, 8), from 0 to 16."""
    if find_spec("sklearn") is None:
        raise BackendUnavailable(
            "the data set digits needs scikit-learn, which is not installed; "
            "pip install 'gradreg-ref[experiments]'"
        )
    from sklearn import datasets

    found = datasets.load_digits()
    images = found.images.astype(np.uint8)[:, None]
    labels = found.target.astype(np.int64)
    return DataSet(
        known.name,
        images[:-TEST],
        labels[:-TEST],
        images[-TEST:],
        labels[-TEST:],
        tuple("0123456789"),
        known.source,
        files=(),
        notes=(f"no test images are published: the last {TEST} are taken", "pixels are 0 to 16"),
    )
