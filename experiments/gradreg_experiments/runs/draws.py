"""The random numbers of a training step: images, dropout masks, probes.

Every draw is a function of seed, purpose and step, so a checkpoint saves no generator.
Each has a stream of its own. So the arms of a seed share the draws, and stacked, resumed and shared
runs have the draws of a run by itself.
"""

from collections.abc import Sequence
from typing import Any, Literal, get_args

import numpy as np
import torch
from gradreg_torch import draw_probes
from torch import Tensor

from gradreg_experiments.data import Split
from gradreg_experiments.networks import KEEP
from gradreg_experiments.runs import parallel
from gradreg_experiments.runs.description import Run

_Purpose = Literal["initialisation", "batches", "unlabelled", "dropout", "probes", "fraction"]
_PURPOSES: tuple[_Purpose, ...] = get_args(_Purpose)


def number(seed: int, purpose: _Purpose, step: int) -> int:
    """64 bits, different for every seed, purpose and step."""
    sequence = np.random.SeedSequence((seed, _PURPOSES.index(purpose), step))
    return int(sequence.generate_state(1, np.uint64)[0])


def generator(seed: int, purpose: _Purpose, step: int = 0) -> torch.Generator:
    """A generator on the CPU, so that a run has the same draws on every device."""
    return torch.Generator().manual_seed(number(seed, purpose, step))


class Batches:
    """Rows of one batch after the other. An epoch is a permutation, without an incomplete batch."""

    def __init__(self, seed: int, purpose: _Purpose, n: int, batch: int) -> None:
        self.seed, self.purpose, self.n, self.batch = seed, purpose, n, batch
        self.epoch, self.order = -1, torch.empty(0, dtype=torch.int64)

    def __getitem__(self, step: int) -> torch.Tensor:
        epoch, place = divmod(step, self.n // self.batch)
        if epoch != self.epoch:
            g = generator(self.seed, self.purpose, epoch)
            self.epoch, self.order = epoch, torch.randperm(self.n, generator=g)
        return self.order[place * self.batch : (place + 1) * self.batch]


class Draws:
    """The draws of R runs that differ in nothing but their seeds, for this process.

    Parameters
    ----------
    runs : sequence of Run
        R of them.
    parts : sequence of Split
        The images of the runs.
    device : str
        Where the draws are needed. The CPU makes them.
    """

    def __init__(self, runs: Sequence[Run], parts: Sequence[Split], device: str) -> None:
        self.run, self.device = runs[0], device
        self.seeds = [run.seed for run in runs]
        self.labelled = self.run.batch // parallel.size()
        self.rows = self.labelled * (2 if self.run.unlabelled else 1)
        self.all_rows = self.rows * parallel.size()  # of a run, in all processes
        self.classes = len(parts[0].classes)
        self.x = [self.on_device(p.train_images) for p in parts]
        self.y = [self.on_device(p.train_labels) for p in parts]
        self.u = [self.on_device(p.unlabelled_images) for p in parts]
        train, unlabelled, batch = self.run.train, self.run.unlabelled, self.run.batch
        self.batches = [Batches(seed, "batches", train, batch) for seed in self.seeds]
        self.unlabelled = [Batches(seed, "unlabelled", unlabelled, batch) for seed in self.seeds]

    def on_device(self, array: Any) -> Tensor:
        """Images with channels last, or labels."""
        a = torch.from_numpy(array).to(self.device)
        return a.contiguous(memory_format=torch.channels_last) if a.ndim == 4 else a

    def batch(self, t: int) -> tuple[Tensor, Tensor]:
        """x (R · rows, c, h, w), the labelled images of a run first, and y (R, batch)."""
        x, y = [], []
        for r, batches in enumerate(self.batches):
            rows = parallel.own(batches[t]).to(self.device)
            x.append(self.x[r][rows])
            y.append(self.y[r][rows])
            if self.run.unlabelled:
                x.append(self.u[r][parallel.own(self.unlabelled[r][t]).to(self.device)])
        return torch.cat(x), torch.stack(y)

    def mask(self, t: int, width: int) -> Tensor:
        """The masks of dropout, (R, rows, width)."""

        def drawn(seed: int) -> Tensor:
            g = generator(seed, "dropout", t)
            return self.own_rows(torch.rand(self.all_rows, width, generator=g) < KEEP).float()

        return torch.stack([drawn(seed) for seed in self.seeds])

    def own_rows(self, drawn: Tensor) -> Tensor:
        """The rows of this process, of draws for all labelled and then all unlabelled rows."""
        return torch.cat([parallel.own(part) for part in torch.split(drawn, self.run.batch)])

    def probes(self, t: int) -> Tensor | None:
        """Probes for every row; None for a penalty that is exact or has no probes."""
        penalty, options, amp = self.run.penalty, self.run.options, self.run.amp
        exact = penalty == "jacreg" and options.get("num_probes") is None
        if exact or penalty not in ("spectreg", "jacreg"):
            return None
        forward = options.get("mode") == "forward"  # probes of the inputs, in single precision
        n = 1 if options.get("shared_probe") else self.all_rows
        k = self.x[0][0].numel() if forward else self.classes
        law, q = options.get("probe", "gaussian"), options.get("num_probes", 1)
        if q >= k:
            raise ValueError(
                f"expected num_probes < {k}, got {q}: {k} products give the exact value; "
                "use frobreg, or jacreg without num_probes"
            )

        def drawn(seed: int) -> Tensor:
            g = generator(seed, "probes", t)
            r = draw_probes(law, n, k, q, generator=g)
            return self.own_rows(r.expand(self.all_rows, -1, -1))

        r = torch.cat([drawn(seed) for seed in self.seeds]).to(self.device)
        return r.to(getattr(torch, amp)) if amp and not forward else r
