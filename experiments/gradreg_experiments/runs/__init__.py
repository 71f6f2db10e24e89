"""Training runs: a file describes a run, a stopped run can be resumed, a sweep has many runs."""

from gradreg_experiments.runs.description import Run, from_toml
from gradreg_experiments.runs.images import images_of
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.training import Outcome, train

__all__ = ["Outcome", "Run", "Store", "from_toml", "images_of", "train"]
