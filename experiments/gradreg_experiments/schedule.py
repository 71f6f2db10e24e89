"""The learning rate of all training here."""


def learning_rate(first: float, step: int, steps: int) -> float:
    """The rate at a step: a tenth from half of the run on, a hundredth from three quarters."""
    drops = (2 * step >= steps) + (4 * step >= 3 * steps)
    return float(first * 0.1**drops)
