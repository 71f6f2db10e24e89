"""Two backends on one course, step by step."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradreg_experiments.agreement.bound import Differences
from gradreg_ref.typing import Array


@dataclass(frozen=True)
class Comparison:
    """How far two backends came apart on one course, and how far rounding can take them.

    Parameters
    ----------
    network, penalty, optimiser : str
        The course.
    other : str
        The backend whose run is compared with torch's run.
    apart, bound : Differences
        The differences that were seen, and the differences that rounding can make.
    """

    network: str
    penalty: str
    optimiser: str
    other: str
    apart: Differences
    bound: Differences

    @property
    def share(self) -> float:
        """The largest part of its bound that a loss, a penalty or a parameter takes up."""
        parts = zip(self.apart, self.bound, strict=True)
        return max(float(np.max(share(seen, limit))) for seen, limit in parts)

    @property
    def row(self) -> dict[str, Any]:
        """The numbers of a comparison, for tables and files."""
        largest = {f"{name}_apart": float(a.max()) for name, a in self.apart._asdict().items()}
        names = {n: getattr(self, n) for n in ("network", "penalty", "optimiser", "other")}
        return names | {"steps": len(self.apart.loss)} | largest | {"share_of_bound": self.share}


def share(seen: Array, limit: Array) -> Array:
    """What was seen over the limit; 0 where both are zero."""
    return np.divide(seen, limit, out=np.where(seen > 0, np.inf, 0.0), where=limit > 0)
