"""What the seeds of a cell say, and the paired difference to the baseline of the row."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from gradreg_experiments.reproduce.experiments import Cell, Experiment
from gradreg_experiments.runs.training import Outcome

LEVEL = 0.95
BASELINE = "baseline"


@dataclass(frozen=True)
class Difference:
    """Difference to the baseline over the seeds that both have, in points; low and high: 95 %.

    The interval and p are Student's, for the paired differences d_s: d̄ ± t sd(d) / √n. With fewer
    than two seeds, or with equal differences only, interval and p are nan.
    """

    n: int
    mean: float
    low: float
    high: float
    p: float

    @property
    def significant(self) -> bool:
        """Whether 0 is outside the interval."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Row:
    """A cell with its result: accuracies in per cent; sd has n − 1; nan stands for no number."""

    cell: Cell
    outcomes: Mapping[int, Outcome]
    mean: float
    sd: float
    difference: Difference | None
    poster_difference: float | None


def rows(
    experiment: Experiment, seeds: tuple[int, ...], find: Callable[[Cell, int], Outcome | None]
) -> list[Row]:
    """A row for each cell, whether or not it was run."""
    found = {
        (cell.row, cell.arm, cell.figure): {
            seed: outcome for seed in seeds if (outcome := find(cell, seed)) is not None
        }
        for cell in experiment.cells
    }
    posters = {(cell.row, cell.arm, cell.figure): cell.poster for cell in experiment.cells}
    out = []
    for cell in experiment.cells:
        outcomes = found[cell.row, cell.arm, cell.figure]
        base = (cell.row, BASELINE, cell.figure)
        values = percent(cell, outcomes)
        mean = float(values.mean()) if len(values) else float("nan")
        sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
        other = posters.get(base)
        printed = cell.poster[0] - other[0] if cell.poster and other else None
        compared = cell.arm != BASELINE and base in found
        out.append(
            Row(
                cell,
                outcomes,
                mean,
                sd,
                difference(cell, outcomes, found[base]) if compared else None,
                printed if compared else None,
            )
        )
    return out


def percent(cell: Cell, outcomes: Mapping[int, Outcome]) -> NDArray[np.float64]:
    """The figure of the cell in per cent, in the order of the seeds."""
    return np.array([100 * getattr(outcomes[seed], cell.figure) for seed in sorted(outcomes)])


def difference(
    cell: Cell, outcomes: Mapping[int, Outcome], baseline: Mapping[int, Outcome]
) -> Difference | None:
    """The paired difference; None where no seed has both."""
    both = sorted(set(outcomes) & set(baseline))
    if not both:
        return None
    ours, theirs = ({seed: of[seed] for seed in both} for of in (outcomes, baseline))
    # Rounded: accuracies are whole numbers of images, and equal differences are to be equal.
    d = np.round(percent(cell, ours) - percent(cell, theirs), 9)
    mean, n = float(d.mean()), len(d)
    if n < 2 or not np.ptp(d):
        return Difference(n, mean, float("nan"), float("nan"), float("nan"))
    half = float(stats.t.ppf((1 + LEVEL) / 2, n - 1) * stats.sem(d))
    p = float(stats.ttest_1samp(d, 0).pvalue)
    return Difference(n, mean, mean - half, mean + half, p)
