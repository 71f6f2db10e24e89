"""Parts that all training shares: the learning rate, and a limit on seeds."""

from gradreg_ref import checks

_MOST = 1000  # seeds or processes: a mistyped count would fill the memory


def learning_rate(first: float, step: int, steps: int) -> float:
    """The rate at a step: a tenth from half of the run on, a hundredth from three quarters."""
    drops = (2 * step >= steps) + (4 * step >= 3 * steps)
    return float(first * 0.1**drops)


def few(name: str, value: int) -> int:
    """A whole number from 1 to 1000, of seeds or processes."""
    if checks.count(name, value) > _MOST:
        raise ValueError(f"expected {name} of at most {_MOST}, got {value}")
    return value
