"""Published image data sets, read as they are published, into NumPy arrays.

`load` reads one, `split` draws training and validation images from it, `standardise` scales them;
`check` says what a folder holds. docs/data.md has formats and sources.
"""

from gradreg_experiments.data.check import check
from gradreg_experiments.data.dataset import Broken, DataSet
from gradreg_experiments.data.known import DATA_SETS
from gradreg_experiments.data.loading import load
from gradreg_experiments.data.splits import Split, split, standardise

__all__ = ["DATA_SETS", "Broken", "DataSet", "Split", "check", "load", "split", "standardise"]
