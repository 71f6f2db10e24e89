"""How much of the paper's training is done: all of it, or what a processor does in an afternoon."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from gradreg_experiments.reproduce.experiments import Cell, Experiment
from gradreg_experiments.reproduce.settings import arm
from gradreg_experiments.runs.description import Run


@dataclass(frozen=True)
class Protocol:
    """A named choice of settings.

    Parameters
    ----------
    data : tuple of str
        Data sets that the protocol is made for; empty for all.
    changes : mapping
        Fields of every run, in place of the fields in the paper.
    lams : mapping
        λ of additional arms (CP's λ as in the scripts), chosen by `gradreg tune` on validation
        images; by data set and weight decay.
    """

    data: tuple[str, ...] = ()
    changes: Mapping[str, Any] = field(default_factory=dict)
    lams: Mapping[tuple[str, float], Mapping[str, float]] = field(default_factory=dict)


REDUCED = {
    "iterations": 1500,
    "learning_rate": 0.05,
    "width": 1,
    "blocks": 1,
    "halved": True,
}
PROTOCOLS = {
    "paper": Protocol(),
    # Long enough for the network to know its training images by heart: only then has a penalty
    # something to act against. After 200 iterations, as in an earlier version, nothing is seen.
    "reduced": Protocol(("cifar-10", "cifar-100"), REDUCED),
}


def with_tuned(experiment: Experiment, protocol: Protocol) -> Experiment:
    """The table, with another arm for every λ that was chosen for the protocol."""
    cells = list[Cell]()
    for cell in experiment.cells:
        cells.append(cell)
        lams = protocol.lams.get((cell.run.data, cell.run.weight_decay), {})
        if cell.arm in lams:
            own = arm(without_penalty(cell.run), cell.arm, lams[cell.arm])
            cells.append(replace(cell, arm=f"{cell.arm}, tuned", run=own, poster=None))
    return replace(experiment, cells=tuple(cells))


def without_penalty(run: Run) -> Run:
    """The baseline of a run."""
    return replace(run, penalty="none", lam=0.0, options={}, confidence=0.0)
