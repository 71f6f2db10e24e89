"""TinyImageNet-200, a folder of JPEGs: which images there are, and which class each image has."""

import os
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import numpy as np

from gradreg_experiments.data.dataset import Broken, DataSet, Known, gather
from gradreg_experiments.data.disk import require
from gradreg_experiments.data.image_cache import Listed, cached
from gradreg_verify.files import read as read_text

_ANNOTATIONS = "val/val_annotations.txt"
_WNID = re.compile(r"n\d{8}", re.ASCII)  # a number of WordNet
_LIMIT = 1 << 24  # bytes of a text file


def read(known: Known, folder: Path, cache: Path | None) -> DataSet:
    """Images (n, 3, 64, 64), decoded once into a cache."""
    if cache is None:
        raise ValueError(
            f"expected a folder for the decoded images of {folder}, got none; pass cache="
        )
    classes, *parts = _listed(folder)
    (train, test), files = cached(folder, cache, parts)
    labels = [np.array([label for _, label in part]) for part in parts]
    note = (
        "the published validation images are the test images here: the images of test/ have no "
        "labels"
    )
    arrays = train, labels[0], test, labels[1]
    return DataSet(known.name, *arrays, classes, files=files, notes=(note,))


def _listed(folder: Path) -> tuple[tuple[str, ...], list[Listed], list[Listed]]:
    """The classes, and the images of both parts in a fixed order, or all that is wrong."""
    wnids = _lines(folder, "wnids.txt")
    if not wnids or len(set(wnids)) < len(wnids) or not all(map(_WNID.fullmatch, wnids)):
        raise ValueError(
            f"expected a different class such as n01443537 in each line of {folder / 'wnids.txt'}"
        )
    if not (folder / "train").is_dir():
        raise FileNotFoundError(f"expected a folder {folder / 'train'}, got none")
    labels = {wnid: label for label, wnid in enumerate(wnids)}
    _, *classes, validation = gather(
        (
            partial(_refuse_unknown, folder / "train", wnids),
            *(partial(_train_class, folder, *item) for item in labels.items()),
            partial(_annotated, folder, labels),
        )
    )
    return tuple(wnids), [image for images in classes for image in images], validation


def _refuse_unknown(folder: Path, wnids: list[str]) -> None:
    """Refuse a folder that is no class."""
    here = {path.name for path in folder.iterdir() if path.is_dir()}
    if unknown := sorted(here - set(wnids)):
        raise Broken(f"expected the classes of wnids.txt in {folder}, got {n}" for n in unknown)


def _lines(folder: Path, name: str) -> list[str]:
    """The lines of a text file."""
    return read_text(require(folder, name), _LIMIT, "text", str.splitlines)


def _train_class(folder: Path, wnid: str, label: int) -> list[Listed]:
    """The images of one class."""
    images = folder / "train" / wnid / "images"
    names = _jpegs(images)
    if not names:
        raise ValueError(f"expected JPEG files (*.JPEG) in {images}, got none")
    return [(images / name, label) for name in names]


def _jpegs(folder: Path) -> list[str]:
    """Names of the images: n01443537_2.JPEG comes before n01443537_10.JPEG."""
    if not folder.is_dir():
        return []
    with os.scandir(folder) as entries:
        names = [e.name for e in entries if e.name.endswith(".JPEG") and e.is_file()]
    return sorted(names, key=lambda name: (len(name), name))


def _annotated(folder: Path, labels: dict[str, int]) -> list[Listed]:
    """The validation images: exactly those that the annotations name."""
    images = folder / "val" / "images"
    here, found = _jpegs(images), dict[str, int]()
    problems = []
    for number, line in enumerate(_lines(folder, _ANNOTATIONS), 1):
        name, wnid, *_ = [*line.split("\t"), "", ""]
        if wnid not in labels:
            problems.append(f"line {number}: expected a class of wnids.txt, got {wnid!r:.40}")
        elif name in found:
            problems.append(f"line {number}: expected {name!r:.40} once, got it twice")
        found[name] = labels.get(wnid, 0)
    problems += _missing(found.keys() - set(here), "annotated, but not in val/images")
    problems += _missing(set(here) - found.keys(), "in val/images, but not annotated")
    if not here:
        problems = [f"expected JPEG files (*.JPEG) in {images}, got none"]
    if problems:
        raise Broken(f"{folder / _ANNOTATIONS}: {problem}" for problem in problems)
    return [(images / name, found[name]) for name in here]


def _missing(names: Iterable[str], what: str) -> list[str]:
    """A sentence for each name."""
    return [f"expected the images of val/images, got {name!r:.40} {what}" for name in sorted(names)]
