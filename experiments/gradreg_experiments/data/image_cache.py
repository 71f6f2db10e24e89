"""A folder of JPEGs, decoded once into arrays that are memory-mapped from then on.

The name of the cache is a digest of the list of images (names, sizes, times of change, labels), so
a change of the images makes a new cache. A cache appears whole, by one rename, or not at all.
"""

import hashlib
import io
import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.lib.format import write_array_header_1_0

from gradreg_experiments.data.dataset import Broken, FileRead, Images
from gradreg_experiments.data.disk import content
from gradreg_experiments.needs import need
from gradreg_verify.files import read_json

_SHAPE = (3, 64, 64)
_JPEG = bytes([0xFF, 0xD8])  # how every one begins
LIMIT = 1 << 20  # bytes of one; the published ones have some 2,000
_PARTS = ("train", "val")
Listed = tuple[Path, int]  # an image file, and the class of the image


def cached(
    folder: Path, cache: Path, parts: Sequence[list[Listed]]
) -> tuple[tuple[Images, Images], tuple[FileRead, ...]]:
    """Decoded images of both parts, from the cache or into it.

    Parameters
    ----------
    folder : Path
        The folder of the data set.
    cache : Path
        The folder of the cache, made if need be; about 12 KB for each image.
    parts : sequence of list of Listed
        The images for training and for validation.

    Returns
    -------
    tuple
        Arrays (n, 3, 64, 64), memory-mapped, and a `FileRead` for the images of each part. The
        sums of a `FileRead` are sums of all bytes of the images in order.
    """
    place = cache / f"tiny-imagenet-200-{_digest(folder, parts)}"
    if not place.is_dir():
        _make(folder, place, parts)
    try:
        paths = [place / f"{part}.npy" for part in _PARTS]
        if not all(path.is_file() for path in paths):  # a pipe would be waited for without end
            raise ValueError(f"no files {', '.join(path.name for path in paths)}")
        arrays = [np.load(path, mmap_mode="r") for path in paths]
        for images, array in zip(parts, arrays, strict=True):
            if array.shape != (len(images), *_SHAPE) or array.dtype != np.uint8:
                raise ValueError(f"an array {array.shape}, {array.dtype}")
        files = read_json(
            place / "sums.json",
            "sums of images",
            lambda sums: tuple(FileRead(folder / part, **sums[part]) for part in _PARTS),
        )
    except (ValueError, OSError, EOFError) as error:
        raise ValueError(
            f"expected the cache that was written to {place}, got: {error}; "
            "delete that folder, and it is made anew"
        ) from error
    return (arrays[0], arrays[1]), files


def _digest(folder: Path, parts: Sequence[list[Listed]]) -> str:
    """A digest of the list of images."""
    listing = hashlib.sha256()
    for images in parts:
        for path, label in images:
            status, name = path.stat(), os.fsencode(path.relative_to(folder))
            listing.update(name + b"\0%d %d " % (status.st_size, status.st_mtime_ns))
            listing.update(b"%d\n" % label)
    return listing.hexdigest()[:16]


def _make(folder: Path, place: Path, parts: Sequence[list[Listed]]) -> None:
    """Decode everything into a folder beside the place, then rename the folder."""
    need(f"the data set in {folder}", "PIL")
    place.parent.mkdir(parents=True, exist_ok=True)
    new = Path(tempfile.mkdtemp(prefix=".", suffix=".part", dir=place.parent))
    try:
        problems, sums = list[str](), {}
        for part, images in zip(_PARTS, parts, strict=True):
            # Written, not mapped: a full disk then raises an error and does not kill the process.
            with (new / f"{part}.npy").open("wb") as out:
                sums[part] = decode_all(images, out, problems)
        if problems:
            raise Broken(problems)
        (new / "sums.json").write_text(json.dumps(sums))
        if not place.is_dir():  # as another process may have been faster
            new.rename(place)
    except OSError as error:
        error.filename = error.filename or str(place)  # a full disk does not say which
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)


def decode_all(images: list[Listed], out: BinaryIO, problems: list[str]) -> dict[str, Any]:
    """Write the array, add a sentence for every image that cannot be decoded, return the sums."""
    shape = (len(images), *_SHAPE)
    write_array_header_1_0(out, {"descr": "|u1", "fortran_order": False, "shape": shape})
    md5, sha256, size = hashlib.md5(usedforsecurity=False), hashlib.sha256(), 0
    for path, _ in images:
        try:
            data = content(path, LIMIT)
            pixels = decode(data)
        # Pillow raises many kinds of error where the bytes make no sense.
        except Exception as error:
            problems.append(f"expected a whole JPEG of 64 × 64 in {path}, got: {error}")
            continue
        size += len(data)
        md5.update(data)
        sha256.update(data)
        out.write(pixels.tobytes())
    remark = f"{len(images)} images, one after the other; no published sum is known"
    return {"size": size, "md5": md5.hexdigest(), "sha256": sha256.hexdigest(), "remark": remark}


def decode(data: bytes) -> Images:
    """The pixels (3, 64, 64); a grey image has three equal channels."""
    from PIL import Image

    if not data.startswith(_JPEG):
        raise ValueError(f"no JPEG: {len(data)} bytes that begin with {data[:2].hex(' ')!r}")
    with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
        if image.size != _SHAPE[1:]:
            raise ValueError(f"{image.size[0]} × {image.size[1]} pixels")
        return np.asarray(image.convert("RGB")).transpose(2, 0, 1)
