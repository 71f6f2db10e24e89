"""The differences of a table from the paper: sentences that are printed below the table."""

from collections.abc import Iterator
from pathlib import Path

from gradreg_experiments.data import DATA_SETS
from gradreg_experiments.reproduce.experiments import Experiment
from gradreg_experiments.runs import Run
from gradreg_experiments.runs.images import read

_CIFAR = (
    "CIFAR: validation images are training images. The scripts use the test images for "
    "validation and for tests."
)
_OF_DATA = {
    "digits": (
        "The paper does not have the digits. Their images of 8 × 8 pixels are enlarged to 28 × 28 "
        "for the LeNet. Settings and λ are the ones that MNIST with 200 images has; a run has "
        "1,000 iterations.",
    ),
    "mnist": (
        "MNIST: training images are drawn from all 60,000 training images, and tests use the "
        "10,000 published test images. The last version of the scripts draws training images from "
        "the first 50,000, and tests on the other 10,000.",
    ),
    "cifar-10": (_CIFAR,),
    "cifar-100": (
        "CIFAR-100: 2,000 training images, as the poster says. The authors' script trains on "
        "20,000.",
        _CIFAR,
    ),
}
_STANDARDISED = (
    "Images are standardised by the mean and the deviation of each channel of the training images. "
    "The scripts standardise each part of the data by the mean and the deviation of that part."
)
_BATCH_NORM = (
    "Batch norm uses running averages in tests. The scripts use the statistics of each test batch."
)
_CHANGES = {
    "iterations": "{after} iterations in place of {before}",
    "learning_rate": "a first learning rate of {after} in place of {before}",
    "width": "{after} × (16, 32, 64) filters in place of {before} × (16, 32, 64)",
    "blocks": "blocks on each level: {after} in place of {before}",
    "halved": "the first convolution halves the images (a stride of 2)",
}
_OF_PENALTIES = {
    "spectreg": "SpectReg draws a probe for each example, in the forward pass of the loss. The "
    "scripts draw one probe for the whole batch, in a second pass.",
    "jacreg": "JacReg is estimated with one probe. The scripts compute a product for each class.",
}


def of(published: Experiment, changed: Experiment, folder: Path | None) -> list[str]:
    """Sentences on data, settings and changes; `Experiment` has its own sentences."""
    runs = [cell.run for cell in changed.cells]
    pairs = [(p.run, c.run) for p, c in zip(published.cells, changed.cells, strict=True)]
    return [
        *dict.fromkeys(s for run in runs for s in of_data(run, folder)),
        _STANDARDISED,
        *([_BATCH_NORM] if any(run.batch_norm for run in runs) else []),
        *(said for name, said in _OF_PENALTIES.items() if name in {run.penalty for run in runs}),
        *dict.fromkeys(s for p, c in pairs for s in _of_changes(p, c)),
    ]


def of_data(run: Run, folder: Path | None) -> Iterator[str]:
    """Say how the data differ from the published data."""
    if run.data != "digits":
        title = DATA_SETS[run.data].title
        yield from (f"{title}: {note}." for note in read(run.data, folder).notes)
    yield from _OF_DATA.get(run.data, ())


def _of_changes(published: Run, changed: Run) -> Iterator[str]:
    """Say what the protocol or the command line has changed."""
    for name, what in _CHANGES.items():
        before, after = getattr(published, name), getattr(changed, name)
        if before != after:
            yield f"{changed.data}: {what.format(after=after, before=before)}."
    if changed.amp:
        yield f"The forward pass is in {changed.amp}, by autocast."
    if changed.compile:
        yield "Steps are compiled by torch.compile."
