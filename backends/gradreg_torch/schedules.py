"""Schedules of the weight λ: a step counts from 0, ``loss + lam(step) * penalty``."""

from dataclasses import dataclass
from math import isfinite

from gradreg_torch._engine import checks


@dataclass(frozen=True)
class Constant:
    """λ(t) = value."""

    value: float

    def __post_init__(self) -> None:
        _require_weights(value=self.value)

    def __call__(self, step: int) -> float:
        """λ at a step."""
        del step
        return self.value


@dataclass(frozen=True)
class Linear:
    """λ(t) = start + (end − start) · min(max((t − begin) / steps, 0), 1): ``Linear(0, lam, 1000)``.

    Parameters
    ----------
    start, end : float
        The values before step `begin`, and from step begin + steps on.
    steps : int
        Number of steps from `start` to `end`.
    begin : int
        The last step with the value `start`.
    """

    start: float
    end: float
    steps: int
    begin: int = 0

    def __post_init__(self) -> None:
        _require_weights(start=self.start, end=self.end)
        checks.count("steps", self.steps)
        checks.count("begin", self.begin, least=0)

    def __call__(self, step: int) -> float:
        """λ at a step."""
        passed = min(max((step - self.begin) / self.steps, 0.0), 1.0)
        return self.start + (self.end - self.start) * passed


def _require_weights(**weights: float) -> None:
    """Finite and not negative: a negative λ rewards large gradients."""
    for name, value in weights.items():
        try:
            finite = not isinstance(value, bool) and isfinite(value)
        except (TypeError, ValueError, OverflowError):
            finite = False
        if not finite or value < 0:
            raise ValueError(f"expected {name} to be a finite weight >= 0, got {value!r:.60}")
