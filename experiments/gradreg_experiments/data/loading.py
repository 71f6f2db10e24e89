"""Load a data set by its name, from wherever the files lie."""

import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from gradreg_experiments.data.dataset import Broken, DataSet, Known
from gradreg_experiments.data.disk import PUBLISHED, fingerprint, published_files
from gradreg_experiments.data.known import DATA_SETS
from gradreg_ref import checks


def find(known: Known, folder: Path) -> Path | None:
    """Find the files of a data set: in a folder of a published name in this folder, or here.

    Here, two of the files are needed, since many a folder has some file ``train``.
    """
    places = [folder / name for name in known.folders if (folder / name).is_dir()]
    if Path(os.path.realpath(folder)).name in known.folders or _files_in(known, folder) > 1:
        places.append(folder)
    return max(places, key=lambda place: _files_in(known, place) > 0, default=None)


def _files_in(known: Known, folder: Path) -> int:
    """Count the published files that a folder has."""
    return sum(path.is_file() for _, path in published_files(known, folder))


def load(name: str, folder: Path | None = None, cache: Path | None = None) -> DataSet:
    """Read a data set.

    Parameters
    ----------
    name : str
        A name of `DATA_SETS`; "digits" needs neither folder nor download.
    folder : Path, optional
        With the published files, or with the folder in which they are published.
    cache : Path, optional
        Where decoded images are kept; "tiny-imagenet-200" needs it.

    Returns
    -------
    DataSet

    Raises
    ------
    FileNotFoundError
        The data set is not there.
    ValueError
        The data set is there, but cannot be read in full; `Broken` has a sentence for each problem.
    BackendUnavailable
        A package is missing; the sentence names the extra.
    """
    known = DATA_SETS[checks.choice("a data set", name, DATA_SETS)]
    if not known.files:
        return known.read(known, Path(), cache)
    obtained = f"{known.title} is obtained from {known.source}"
    if folder is None:
        raise ValueError(f"expected a folder with {known.title} (--data DIR), got none; {obtained}")
    place = find(known, folder)
    if place is None:
        raise FileNotFoundError(
            f"expected {', '.join(known.files)} in {folder}, or in a folder "
            f"{known.folders[0]} there, got none of them; {obtained}"
        )
    try:
        data = known.read(known, place, cache)
        files = (fingerprint(known, *file, whole=True) for file in published_files(known, place))
        data = replace(data, files=(*files, *data.files))
        if mixed := tuple(_of_another(known, data)):
            raise Broken(mixed)
    except (ValueError, OSError) as error:
        sentences = error.sentences if isinstance(error, Broken) else [str(error)]
        raise Broken(sentences, obtained) from error
    counts = len(data.train_labels), len(data.test_labels)
    notes = (
        f"{got} of the {whole} published {part} images"
        for part, got, whole in zip(("training", "test"), counts, known.counts, strict=True)
        if got != whole
    )
    return replace(data, notes=(*notes, *data.notes))


def _of_another(known: Known, data: DataSet) -> Iterator[str]:
    """A sentence for a published file under the name of another: data sets share their names."""
    for file in data.files:
        for other in DATA_SETS.values():
            for name, sums in other.files.items():
                if file.md5 in sums and file.remark != PUBLISHED:
                    yield (
                        f"expected {file.path} to be of {known.title}, got {name} of "
                        f"{other.title}; keep that data set in a folder named {other.folders[0]}"
                    )
