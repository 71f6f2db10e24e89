"""Local or global? The Jacobian's norm at training images, at test images and in between.

DoubleBack acts at training images in the direction of the loss, SpectReg in all directions, also
only there. The poster claims that the norm becomes small everywhere. The networks are those of
the weight-decay table; nothing else is trained.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from gradreg_torch import frobreg
from matplotlib.figure import Figure
from numpy.typing import NDArray
from torch import nn

from gradreg_experiments.data import Split
from gradreg_experiments.networks import build
from gradreg_experiments.reproduce.experiments import Cell, Experiment
from gradreg_experiments.reproduce.figure import colour_of
from gradreg_experiments.reproduce.record import Result
from gradreg_experiments.reproduce.statistics import BASELINE, grouped
from gradreg_experiments.result import drawing, entitle
from gradreg_experiments.runs import Run, Store, images_of
from gradreg_experiments.runs.draws import generator
from gradreg_experiments.runs.store import damaged
from gradreg_verify.frameworks.torch import one_thread

IMAGES, _AT_ONCE = 500, 250
_PLACES = np.linspace(0, 1, 11)  # 0: a training image, 1: a test image
_CAPTION = (
    "The norm is ‖J‖_F, the square root of FrobReg, without dropout. It is the mean over "
    f"{IMAGES} pairs of a training image and a test image, at both images and on the line between "
    "them. The networks are those of the weight-decay table. ×: divided by the baseline's norm."
)


@dataclass(frozen=True)
class _Norms:
    """Mean ‖J‖_F over images at each of `_PLACES`, a row for each seed."""

    cell: Cell
    seeds: tuple[int, ...]
    along: NDArray[np.float64]

    @property
    def mean(self) -> NDArray[np.float64]:
        """The mean over seeds at each of `_PLACES`."""
        return self.along.mean(axis=0)


def measured(experiment: Experiment, seeds: Sequence[int], store: Store) -> list[_Norms]:
    """The norms of every network that is there."""
    out = []
    for cell in experiment.cells:
        every = (replace(cell.run, seed=seed) for seed in seeds)
        runs = [run for run in every if store.find(run) and store.weights(run).exists()]
        with one_thread():
            along = [_norms(run, store, images_of(run, store.data)) for run in runs]
        rows = np.array(along).reshape(len(runs), len(_PLACES))
        out.append(_Norms(cell, tuple(run.seed for run in runs), rows))
    return out


def _norms(run: Run, store: Store, parts: Split) -> NDArray[np.float64]:
    """Mean ‖J‖_F at each of `_PLACES`, of one network."""
    network = trained(run, store, parts)
    a = torch.from_numpy(parts.train_images[:IMAGES])
    b = torch.from_numpy(parts.test_images[: len(a)])
    a = a[: len(b)]
    out = []
    for t in _PLACES:
        x = torch.split(torch.lerp(a, b, float(t)), _AT_ONCE)
        with torch.no_grad():
            squares = torch.cat([frobreg(network, part, reduction="none") for part in x])
        out.append(float(squares.sqrt().mean()))
    return np.array(out)


def trained(run: Run, store: Store, parts: Split) -> nn.Module:
    """The network of a run, with the weights that were kept."""
    network = build(run, parts, run.batch, generator(run.seed, "initialisation"))
    try:
        network.load_state_dict(store.state(run))
    except (RuntimeError, TypeError) as error:  # of other names or shapes
        raise ValueError(damaged(store.weights(run), error)) from error
    return network.eval()


def _head_and_rows(found: Sequence[_Norms]) -> tuple[list[str], list[list[str]]]:
    """The norm at training, middle and test; at both ends also over the norm of the baseline."""
    head = ["", "arm", "n", "training", "half way", "test", "training ×", "test ×"]
    base = {n.cell.row: n.mean for n in found if n.cell.arm == BASELINE and n.seeds}
    rows = []
    for n in found:
        row = [n.cell.row, n.cell.arm, str(len(n.seeds))]
        if not n.seeds:
            rows.append([*row, "NOT RUN", "", "", "", ""])
            continue
        row += [f"{n.mean[i]:.3g}" for i in (0, len(_PLACES) // 2, -1)]
        other = base.get(n.cell.row)
        row += ["", ""] if other is None else [f"{n.mean[i] / other[i]:.2f}" for i in (0, -1)]
        rows.append(row)
    return head, rows


def _places(found: Sequence[_Norms]) -> Iterator[list[Any]]:
    """A head, and a line for each network and place."""
    yield ["row", "arm", "seed", "place", "norm"]
    for n in found:
        for seed, along in zip(n.seeds, n.along, strict=True):
            for place, value in zip(_PLACES, along, strict=True):
                yield [n.cell.row, n.cell.arm, seed, f"{place:.1f}", f"{value:.6g}"]


def _figure(found: Sequence[_Norms]) -> Figure | None:
    """A panel for each row, a line for each arm, thin lines for seeds; None if nothing was run."""
    groups = grouped([n for n in found if n.seeds], lambda n: n.cell.row)
    if not groups:
        return None
    with drawing(2.9) as fig:
        panels = fig.subplots(1, len(groups), sharey=True, squeeze=False)[0]
        for axes, (row, own) in zip(panels, groups.items(), strict=True):
            for n in own:
                colour = colour_of(n.cell.arm)
                axes.plot(_PLACES, n.along.T, color=colour, lw=0.5, alpha=0.5)
                axes.plot(_PLACES, n.mean, color=colour, label=n.cell.arm)
            axes.set(title=f"{row}\n{_left_of(own)}", xlim=(0, 1))
            axes.set_xticks([0, 0.5, 1], ["training\nimage", "half\nway", "test\nimage"])
        panels[0].set(ylabel="mean ‖J‖", ylim=(0, None))
        panels[0].legend()
        seeds = max(len(n.seeds) for n in found)
        entitle(fig, f"What SpectReg leaves of the baseline's ‖J‖, {seeds} seeds (thin lines)")
    return fig


def _left_of(row: Sequence[_Norms]) -> str:
    """The part of the baseline's norm that SpectReg leaves, at training and at test images."""
    norms = {n.cell.arm: n.mean for n in row}
    if not {BASELINE, "SpectReg"} <= norms.keys():
        return ""
    share = norms["SpectReg"] / norms[BASELINE]
    return f"{100 * share[0]:.0f} % (training), {100 * share[-1]:.0f} % (test)"


def result(experiment: Experiment, found: Sequence[_Norms]) -> Result:
    """The result in the forms in which it is kept."""
    head, texts = _head_and_rows(found)
    rows = [
        {
            "row": n.cell.row,
            "arm": n.cell.arm,
            "setting": {k: v for k, v in n.cell.run.chosen.items() if k != "seed"},
            "seeds": n.seeds,
            "norm": n.mean.round(6).tolist() if n.seeds else None,
        }
        for n in found
    ]
    return Result(experiment, head, texts, rows, [*_places(found)], _figure(found), _CAPTION)
