"""The images of a run, ready for its network."""

import hashlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path

import numpy as np

from gradreg_experiments.data import DataSet, Split, load, split, standardise
from gradreg_experiments.data.dataset import Images
from gradreg_experiments.runs.description import Run

_LENET_SIZE = 28


@lru_cache(maxsize=2)
def read(name: str, folder: Path | None) -> DataSet:
    """A data set, read once in a process; decoded images are kept beside the data."""
    return load(name, folder, None if folder is None else folder / ".cache")


@lru_cache(maxsize=8)
def fingerprint(name: str, folder: Path | None) -> str:
    """A sum of images and labels: a result on other images is another result."""
    data = read(name, folder)
    digest = hashlib.sha256()
    for array in (data.train_labels, data.test_labels):
        digest.update(array.tobytes())
    for file in data.files:
        digest.update(file.sha256.encode())
    return digest.hexdigest()[:16]


def images_of(run: Run, folder: Path | None) -> Split:
    """Images drawn by the seed of the run, enlarged if the network needs that, and standardised."""
    data = read(run.data, folder)
    if run.network == "lenet":
        data = replace(
            data, train_images=_enlarged(data.train_images), test_images=_enlarged(data.test_images)
        )
    parts = split(
        data,
        train=run.train,
        validation=run.validation,
        seed=run.seed,
        balanced=run.balanced,
        unlabelled=run.unlabelled,
    )
    return standardise(parts, run.standardisation)


def _enlarged(images: Images) -> Images:
    """Small images for the LeNet: every pixel repeated, zeros around."""
    times = _LENET_SIZE // max(images.shape[2:])
    if times < 2:
        return images
    large = images.repeat(times, axis=2).repeat(times, axis=3)
    pads = [((_LENET_SIZE - size) // 2, (_LENET_SIZE - size + 1) // 2) for size in large.shape[2:]]
    return np.pad(large, [(0, 0), (0, 0), *pads])
