"""In what a table is not the paper's: a sentence each, beside it wherever it is printed."""

from collections.abc import Iterator
from pathlib import Path

from gradreg_experiments.data import DATA_SETS
from gradreg_experiments.reproduce.experiments import Experiment
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.images import read

DIGITS = (
    "digits is not of the paper: 8 × 8 pixels, enlarged to 28 × 28 for the LeNet; settings and λ "
    "are those of MNIST with 200 images and 1,000 iterations."
)
CIFAR_100 = (
    "CIFAR-100: 2,000 training images, as the poster says; the authors' script trains on 20,000."
)
TESTED = {
    "mnist": "MNIST: training images are drawn from all 60,000, tests are on the 10,000 published "
    "test images; the scripts, in their last version, draw from the first 50,000 and test on the "
    "other 10,000.",
    **dict.fromkeys(
        ("cifar-10", "cifar-100"),
        "CIFAR: validation images are training images; the scripts take the test images for both.",
    ),
}
STANDARDISED = (
    "Images are standardised by a mean and deviation for each channel of the training images; the "
    "scripts take those of each part for itself."
)
BATCH_NORM = (
    "Batch norm takes its running averages in tests; the scripts take the statistics of each test "
    "batch."
)
CHANGES = {
    "iterations": "{after} iterations in place of {before}",
    "learning_rate": "a learning rate of {after} at first, in place of {before}",
    "width": "{after} times (16, 32, 64) filters in place of {before}",
    "blocks": "blocks a level: {after} in place of {before}",
    "halved": "the first convolution halves the images (a stride of 2)",
}
OF_PENALTIES = {
    "spectreg": "SpectReg draws a probe for each example, on the pass that the loss takes; the "
    "scripts draw one for the batch, on a second pass.",
    "jacreg": "JacReg is estimated with one probe; the scripts take a product for each class.",
}


def of(published: Experiment, changed: Experiment, folder: Path | None) -> list[str]:
    """Of data, settings and what was changed; the experiment has its own."""
    runs = [cell.run for cell in changed.cells]
    pairs = [(p.run, c.run) for p, c in zip(published.cells, changed.cells, strict=True)]
    return [
        *dict.fromkeys(s for run in runs for s in of_data(run, folder)),
        STANDARDISED,
        *([BATCH_NORM] if any(run.batch_norm for run in runs) else []),
        *(said for name, said in OF_PENALTIES.items() if name in {run.penalty for run in runs}),
        *dict.fromkeys(s for p, c in pairs for s in of_changes(p, c)),
    ]


def of_data(run: Run, folder: Path | None) -> Iterator[str]:
    """What is there is not all that was published."""
    if run.data == "digits":
        yield DIGITS
    else:
        title = DATA_SETS[run.data].title
        yield from (f"{title}: {note}." for note in read(run.data, folder).notes)
    if run.data == "cifar-100":
        yield CIFAR_100
    if run.data in TESTED:
        yield TESTED[run.data]


def of_changes(published: Run, changed: Run) -> Iterator[str]:
    """What the protocol, or the command line, has changed."""
    for name, what in CHANGES.items():
        before, after = getattr(published, name), getattr(changed, name)
        if before != after:
            yield f"{changed.data}: {what.format(after=after, before=before)}."
    if changed.amp:
        yield f"The forward pass is in {changed.amp}, by autocast."
    if changed.compile:
        yield "Steps are compiled by torch.compile."
