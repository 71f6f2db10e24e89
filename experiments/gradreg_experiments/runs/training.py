"""Training from the first step, or from a checkpoint, to the accuracy on the test images."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from gradreg_experiments.data import Split
from gradreg_experiments.runs import parallel, stopping
from gradreg_experiments.runs.checkpoint import Checkpoint
from gradreg_experiments.runs.description import Run
from gradreg_experiments.runs.images import fingerprint, images_of
from gradreg_experiments.runs.trainer import Trainer
from gradreg_verify.frameworks.torch import one_thread

CHECKPOINT_EVERY_S = 60.0
LOOK_EVERY = 100  # steps between looks at the loss
_EVALUATED_AT_ONCE = 500


@dataclass(frozen=True)
class Outcome:
    """The result of a run: accuracies are fractions, `loss` is the mean cross-entropy.

    Parameters
    ----------
    run : Run
        What was run.
    train, validation, test, top5 : float
        Accuracy on all images of a part, nan for a part without images. On the training images the
        network has no dropout. `top5` is on the test images.
    loss : float
        Cross-entropy on the test images.
    seconds : float
        Time of training; for stacked runs, the share of the run.
    stacked : int
        How many runs were trained as one.
    diverged : int or None
        The step at which the loss was found not to be finite, and training of the run ended.
    """

    run: Run
    train: float
    validation: float
    test: float
    top5: float
    loss: float
    seconds: float
    stacked: int = 1
    diverged: int | None = None


def train(
    runs: Sequence[Run],
    folder: Path | None = None,
    checkpoint: Path | None = None,
    progress: Callable[[int], None] = lambda _: None,
) -> tuple[list[Outcome], list[nn.Module]]:
    """Train runs that differ in their seeds alone, as one model if there are several.

    Parameters
    ----------
    runs : sequence of Run
        One or more.
    folder : Path, optional
        The folder with the data set.
    checkpoint : Path, optional
        A file that is written every minute. Training goes on from a file that is there. The caller
        removes the file.
    progress : callable
        Called with the number of steps done.

    Returns
    -------
    list of Outcome, list of nn.Module
        The figures and the network of every run.

    Raises
    ------
    ValueError
        The runs cannot be stacked, the checkpoint belongs to others, or there are too few images.
    """
    parts = [images_of(run, folder) for run in runs]
    file = Checkpoint(checkpoint, checkpoint_key(runs, folder)) if checkpoint else None
    with one_thread():
        trainer = Trainer(runs, parts)
        seconds, lost = _steps(trainer, file, progress)
        networks = [trainer.network(r) for r in range(len(runs))]
        outcomes = [
            outcome(run, network, part, seconds / len(runs), len(runs), lost.get(r))
            for r, (run, network, part) in enumerate(zip(runs, networks, parts, strict=True))
        ]
    return outcomes, networks


def checkpoint_key(runs: Sequence[Run], folder: Path | None) -> dict[str, str]:
    """Return what a checkpoint belongs to: other images or another torch make another run."""
    return {
        "run": " ".join(run.id for run in runs),
        "set of images": fingerprint(runs[0].data, folder),
        "version of torch": str(torch.__version__),
        "number of processes": str(parallel.size()),  # batch norm sees the rows of one process
    }


def _steps(
    trainer: Trainer, file: Checkpoint | None, progress: Callable[[int], None]
) -> tuple[float, dict[int, int]]:
    """Make all steps that are left. Return the seconds of all steps, and the runs whose loss was
    not finite at a step. Such a run of a stack goes on: it has no part in the others.
    """
    run, first, before, lost = trainer.run, 0, 0.0, dict[int, int]()
    if file and (saved := file.load(trainer.device, trainer.form)):
        first, before, lost = saved["step"], saved["seconds"], saved["lost"]
        trainer.restore(saved)
    trainer.model.train()
    start = written = monotonic()
    for t in range(first, run.iterations):
        total = trainer.step(t)
        done = t + 1
        progress(done)
        if done % LOOK_EVERY and done < run.iterations and not stopping.asked.is_set():
            continue
        if not bool(parallel.mean(total).isfinite()):
            lost = dict.fromkeys(trainer.lost(), done) | lost
            if len(lost) == len(trainer.runs):
                break
        # At the end too: looking at all images may take as long as training.
        due = monotonic() - written > CHECKPOINT_EVERY_S or done == run.iterations
        if file and (due or stopping.asked.is_set()) and parallel.first():
            written = monotonic()
            file.save(done, before + written - start, trainer.state() | {"lost": lost})
        if stopping.asked.is_set():
            raise stopping.stopped(f"after step {done} of {run.iterations}, with a checkpoint")
    return before + monotonic() - start, lost


def outcome(
    run: Run, network: nn.Module, parts: Split, seconds: float, stacked: int, diverged: int | None
) -> Outcome:
    """The figures of a trained network."""
    network.eval()
    on = {
        name: figures(network, getattr(parts, f"{name}_images"), getattr(parts, f"{name}_labels"))
        for name in ("train", "validation", "test")
    }
    top1, top5, loss = on["test"]
    if not math.isfinite(loss):  # lost in the last step
        diverged = diverged or run.iterations
    return Outcome(
        run, on["train"][0], on["validation"][0], top1, top5, loss, seconds, stacked, diverged
    )


@torch.no_grad()
def figures(network: nn.Module, images: Any, labels: Any) -> tuple[float, float, float]:
    """Top-1 and top-5 accuracy, and cross-entropy; a NaN in place of a logit is never right."""
    if not len(labels):
        return float("nan"), float("nan"), float("nan")
    device = next(network.parameters()).device
    sums = np.zeros(3)
    for start in range(0, len(labels), _EVALUATED_AT_ONCE):
        rows = slice(start, start + _EVALUATED_AT_ONCE)
        x = torch.from_numpy(images[rows]).to(device).contiguous(memory_format=torch.channels_last)
        z, y = network(x).float(), torch.from_numpy(labels[rows]).to(device)
        rank = place(z, y)
        loss = F.cross_entropy(z, y, reduction="sum")
        sums += [int((rank < 1).sum()), int((rank < 5).sum()), float(loss)]
    top1, top5, loss_mean = sums / len(labels)
    return float(top1), float(top5), float(loss_mean)


def place(z: Tensor, y: Tensor) -> Tensor:
    """Count the other classes whose logit is NaN, or not below the logit of the true class."""
    own = z.gather(1, y[:, None])
    return (~(z < own)).sum(dim=1) - 1
