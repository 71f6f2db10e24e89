"""A training run: a file describes it, it can be killed and resumed, and a sweep has many."""

from gradreg_experiments.runs.description import Run, from_toml
from gradreg_experiments.runs.images import images_of
from gradreg_experiments.runs.store import Store
from gradreg_experiments.runs.training import Outcome, train

__all__ = ["Outcome", "Run", "Store", "from_toml", "images_of", "train"]
