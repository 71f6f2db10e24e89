"""Published image data sets, read as they are published, into NumPy arrays.

`load` reads one, `split` draws training and validation images from it, `standardise` scales them;
`check` says what a folder holds. docs/data.md has formats and sources.
"""

from gradreg_experiments.data.check import Finding, check
from gradreg_experiments.data.dataset import Broken, DataSet, FileRead, Known
from gradreg_experiments.data.known import DATA_SETS
from gradreg_experiments.data.loading import load
from gradreg_experiments.data.splits import Split, split
from gradreg_experiments.data.standardisation import Standardisation, standardise

__all__ = [
    "DATA_SETS",
    "Broken",
    "DataSet",
    "FileRead",
    "Finding",
    "Known",
    "Split",
    "Standardisation",
    "check",
    "load",
    "split",
    "standardise",
]
