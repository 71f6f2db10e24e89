"""One training run: described by a file, killed and resumed, one of many in a sweep."""

from gradreg_experiments.runs.description import Run, from_toml
from gradreg_experiments.runs.training import Outcome, train

__all__ = ["Outcome", "Run", "from_toml", "train"]
