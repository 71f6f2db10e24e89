"""The one array type of the reference: real or complex float64, axes named in each docstring."""

from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Array: TypeAlias = NDArray[Any]
Rng: TypeAlias = np.random.Generator
Reduction: TypeAlias = Literal["none", "mean", "sum"]
Side: TypeAlias = Literal["output", "input"]
Law: TypeAlias = Literal["gaussian", "rademacher", "sphere", "orthogonal", "frames", "onehot"]
Loss: TypeAlias = Literal["cross_entropy", "mean_squared_error"]
