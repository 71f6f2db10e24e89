"""A few training images, validation images that are not among them, and a common scale."""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gradreg_experiments.data.dataset import DataSet, Labels
from gradreg_ref import checks

_Pixels = NDArray[np.uint8 | np.float32]
_Standardisation = Literal["channel", "feature"]


@dataclass(frozen=True)
class Split:
    """Three parts of a data set, and images whose labels are not used.

    Parameters
    ----------
    train_images, validation_images, test_images, unlabelled_images : array (n, c, h, w)
        uint8, and float32 once standardised.
    train_labels, validation_labels, test_labels : array (n,) of int64
        In [0, len(classes)).
    train_rows, validation_rows : array (n,) of int64
        Rows of the data set's training part; no row is in both.
    classes : tuple of str
        Names of the classes.
    """

    train_images: _Pixels
    train_labels: Labels
    validation_images: _Pixels
    validation_labels: Labels
    test_images: _Pixels
    test_labels: Labels
    unlabelled_images: _Pixels
    train_rows: Labels
    validation_rows: Labels
    classes: tuple[str, ...]


def split(
    dataset: DataSet,
    *,
    train: int,
    validation: int,
    seed: int,
    balanced: bool = False,
    unlabelled: int = 0,
) -> Split:
    """Draw training and validation images from the training part; the test part stays whole.

    The part is shuffled once for a seed; training images come from the front, validation images
    from the end. So a larger training set holds the smaller ones of the same seed, and all of them
    meet the same validation set.

    Parameters
    ----------
    dataset : DataSet
        What to draw from.
    train, validation : int
        How many images; `validation` may be 0.
    seed : int
        Seed of the permutation.
    balanced : bool
        Take the same number of images of each class, in both parts.
    unlabelled : int
        How many of the other images to take, for a penalty that needs no labels.

    Returns
    -------
    Split

    Raises
    ------
    ValueError
        There are too few images, or the numbers are no multiples of the classes.
    """
    asked = {"train": train, "validation": validation, "seed": seed, "unlabelled": unlabelled}
    for name, value in asked.items():
        least = 1 if name == "train" else 0
        if isinstance(value, bool) or not isinstance(value, int) or value < least:
            raise ValueError(f"expected {name} to be a whole number >= {least}, got {value!r}")
    images, labels = dataset.train_images, dataset.train_labels
    order = np.random.default_rng(seed).permutation(len(labels))
    classes = len(dataset.classes)
    if balanced:
        _require_each(dataset, train, validation)
        first = _ranks(labels[order], classes) < train // classes
        last = _ranks(labels[order[::-1]], classes)[::-1] < validation // classes
        rows, others = order[first], order[last]
    else:
        if train + validation > len(order):
            raise ValueError(
                f"expected at most {len(order)} images for training and validation from "
                f"{dataset.name}, got {train} + {validation}"
            )
        rows, others = order[:train], order[len(order) - validation :]
    left = order[~np.isin(order, np.concatenate([rows, others]))]
    if unlabelled > len(left):
        raise ValueError(
            f"expected at most {len(left)} unlabelled images, as training and validation leave no "
            f"more of {dataset.name}; got {unlabelled}"
        )
    drawn = images[rows], labels[rows], images[others], labels[others]
    tests = dataset.test_images, dataset.test_labels
    return Split(*drawn, *tests, images[left[:unlabelled]], rows, others, dataset.classes)


def _require_each(dataset: DataSet, train: int, validation: int) -> None:
    """Raise ValueError where a balanced split would take an image twice."""
    classes = len(dataset.classes)
    for name, value in (("train", train), ("validation", validation)):
        if value % classes:
            raise ValueError(
                f"expected {name} to be a multiple of the {classes} classes of {dataset.name}, "
                f"as balanced=True takes the same number of each; got {value}"
            )
    there = np.bincount(dataset.train_labels, minlength=classes)
    needed = (train + validation) // classes
    if there.min() < needed:
        fewest = int(there.argmin())
        raise ValueError(
            f"expected {needed} images of every class in {dataset.name} for training and "
            f"validation, got {there[fewest]} of class {dataset.classes[fewest]!r}"
        )


def _ranks(labels: Labels, classes: int) -> Labels:
    """Count, for each image, the images of the same class that come before."""
    out = np.empty_like(labels)
    for c in range(classes):
        here = labels == c
        out[here] = np.arange(here.sum())
    return out


def standardise(parts: Split, standardisation: _Standardisation = "channel") -> Split:
    """Subtract the mean of the training images, and divide by their deviation.

    Mean and deviation are computed from the training images alone, and applied to all parts.

    Parameters
    ----------
    parts : Split
        Parts as `split` gives them.
    standardisation : {"channel", "feature"}
        One mean and deviation for each channel, as the paper's scripts do, or for each pixel and
        channel. A pixel that is lit in a few training images has a tiny deviation, and becomes
        large in test images. A pixel that does not vary is divided by 1.

    Returns
    -------
    Split
        Images in float32.
    """
    checks.choice("standardisation", standardisation, get_args(_Standardisation))
    mean, deviation = _moments(parts.train_images, standardisation)

    def scaled(images: _Pixels) -> NDArray[np.float32]:
        out = images.astype(np.float32)
        out -= mean
        out /= deviation
        return out

    names = ("train_images", "validation_images", "test_images", "unlabelled_images")
    images: dict[str, Any] = {name: scaled(getattr(parts, name)) for name in names}
    return replace(parts, **images)


def _moments(
    images: Any, standardisation: _Standardisation
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation, by exact sums of integers: a constant pixel has exactly deviation 0."""
    if images.dtype != np.uint8:
        raise ValueError(f"expected images of uint8, as split gives them, got {images.dtype}")
    n = len(images)
    first = images.sum(axis=0, dtype=np.int64)
    second: Any = np.einsum("nchw,nchw->chw", images, images, dtype=np.int64)
    if standardisation == "channel":
        # Python's integers: for many images the products pass 64 bits.
        n *= first[0].size
        first, second = (a.sum(axis=(1, 2), keepdims=True).astype(object) for a in (first, second))
    deviation = np.sqrt(((n * second - first * first) / n**2).astype(np.float64))
    scale = np.where(deviation == 0, 1, deviation)
    return np.asarray(first / n, np.float32), np.asarray(scale, np.float32)
