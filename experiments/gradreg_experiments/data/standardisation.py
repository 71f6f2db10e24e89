"""Pixels on a common scale: the scale of the training images."""

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from gradreg_experiments.data.splits import Pixels, Split
from gradreg_ref import checks

_Standardisation = Literal["channel", "feature"]
CHUNK = 1024  # images whose squares are held at once


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

    def scaled(images: Pixels) -> NDArray[np.float32]:
        out = images.astype(np.float32)
        out -= mean
        out /= deviation
        return out

    names = ("train_images", "validation_images", "test_images", "unlabelled_images")
    images: dict[str, Any] = {name: scaled(getattr(parts, name)) for name in names}
    return replace(parts, **images)


def _moments(
    images: Pixels, standardisation: _Standardisation
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mean and deviation, by exact sums of integers: a constant pixel has exactly deviation 0."""
    if images.dtype != np.uint8:
        raise ValueError(f"expected images of uint8, as split gives them, got {images.dtype}")
    n = len(images)
    first: Any = images.sum(axis=0, dtype=np.int64)
    second: Any = np.zeros_like(first)
    for start in range(0, n, CHUNK):
        second += np.square(images[start : start + CHUNK], dtype=np.int64).sum(axis=0)
    if standardisation == "channel":
        # Python's integers: for many images the products pass 64 bits.
        n *= first[0].size
        first, second = (a.sum(axis=(1, 2), keepdims=True).astype(object) for a in (first, second))
    deviation = np.sqrt(((n * second - first * first) / n**2).astype(np.float64))
    scale = np.where(deviation == 0, 1, deviation)
    return np.asarray(first / n, np.float32), np.asarray(scale, np.float32)
