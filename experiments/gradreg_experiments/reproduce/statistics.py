"""Statistics over the seeds of a cell, and the paired difference to the baseline of the row."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
import scipy
from numpy.typing import NDArray

from gradreg_experiments.reproduce.experiments import Cell, Experiment
from gradreg_experiments.runs import Outcome

T = TypeVar("T")
K = TypeVar("K")
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
    """A cell with its result, in per cent; nan stands for no number.

    Parameters
    ----------
    cell : Cell
        The place in the table.
    outcomes : mapping
        The outcome of every seed that was run.
    baseline : Row, optional
        What the cell is compared with.
    """

    cell: Cell
    outcomes: Mapping[int, Outcome]
    baseline: "Row | None" = None

    def percent(self, seeds: Iterable[int] | None = None) -> NDArray[np.float64]:
        """The figure of the cell, in the order of the seeds."""
        chosen = sorted(self.outcomes if seeds is None else seeds)
        return np.array([100 * getattr(self.outcomes[seed], self.cell.figure) for seed in chosen])

    @property
    def mean(self) -> float:
        """Return the mean over seeds."""
        return float(self.percent().mean()) if self.outcomes else float("nan")

    @property
    def sd(self) -> float:
        """Return the standard deviation over seeds, with n − 1."""
        return float(self.percent().std(ddof=1)) if len(self.outcomes) > 1 else float("nan")

    @property
    def difference(self) -> Difference | None:
        """The paired difference to the baseline; None where no seed has both."""
        if self.baseline is None or not (both := self.outcomes.keys() & self.baseline.outcomes):
            return None
        # Rounded: accuracies are whole numbers of images, and equal differences are to be equal.
        d = np.round(self.percent(both) - self.baseline.percent(both), 9)
        mean, n = float(d.mean()), len(d)
        if n < 2 or not np.ptp(d):
            return Difference(n, mean, float("nan"), float("nan"), float("nan"))
        test = scipy.stats.ttest_1samp(d, 0)
        low, high = test.confidence_interval(LEVEL)
        return Difference(n, mean, float(low), float(high), float(test.pvalue))

    @property
    def poster_difference(self) -> float | None:
        """The difference on the poster."""
        own, other = self.cell.poster, self.baseline and self.baseline.cell.poster
        return own[0] - other[0] if own and other else None


def grouped(items: Iterable[T], key: Callable[[T], K]) -> dict[K, list[T]]:
    """The items of each key; keys and items stay in the order in which they come."""
    out = dict[K, list[T]]()
    for item in items:
        out.setdefault(key(item), []).append(item)
    return out


def rows(
    experiment: Experiment, seeds: Iterable[int], find: Callable[[Cell, int], Outcome | None]
) -> list[Row]:
    """A row for each cell, whether or not it was run."""
    out, baselines = [], dict[tuple[str, str], Row]()
    for cell in experiment.cells:
        found = {seed: outcome for seed in seeds if (outcome := find(cell, seed)) is not None}
        place = cell.row, cell.figure
        out.append(Row(cell, found, baselines.get(place)))
        if cell.arm == BASELINE:
            baselines[place] = out[-1]
    return out
