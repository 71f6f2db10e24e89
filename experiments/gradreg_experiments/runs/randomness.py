"""Every draw is a function of seed, purpose and step, so a checkpoint saves no generator."""

from typing import Literal, get_args

import numpy as np
import torch

Purpose = Literal["initialisation", "batches", "unlabelled", "dropout", "probes", "fraction"]
PURPOSES: tuple[Purpose, ...] = get_args(Purpose)


def number(seed: int, purpose: Purpose, step: int = 0) -> int:
    """64 bits, different for every seed, purpose and step."""
    sequence = np.random.SeedSequence((seed, PURPOSES.index(purpose), step))
    return int(sequence.generate_state(1, np.uint64)[0])


def generator(seed: int, purpose: Purpose, step: int = 0) -> torch.Generator:
    """A generator on the CPU, so that a run has the same draws on every device."""
    return torch.Generator().manual_seed(number(seed, purpose, step))


class Batches:
    """Rows of one batch after the other. An epoch is a permutation, without an incomplete batch."""

    def __init__(self, seed: int, purpose: Purpose, n: int, batch: int) -> None:
        self.seed, self.purpose, self.n, self.batch = seed, purpose, n, batch
        self.epoch, self.order = -1, torch.empty(0, dtype=torch.int64)

    def __getitem__(self, step: int) -> torch.Tensor:
        epoch, place = divmod(step, self.n // self.batch)
        if epoch != self.epoch:
            g = generator(self.seed, self.purpose, epoch)
            self.epoch, self.order = epoch, torch.randperm(self.n, generator=g)
        return self.order[place * self.batch : (place + 1) * self.batch]
