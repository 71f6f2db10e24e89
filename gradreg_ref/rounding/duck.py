"""What the reference asks of an array, beside NumPy's functions of it.

A duck array carries more than a number through the *same* formulas: its error bound
(`gradreg_ref.rounding.bounded`) or a random rounding error (`gradreg_ref.rounding.perturbed`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from gradreg_ref.typing import Array


class Duck(NDArrayOperatorsMixin, ABC):
    """An array with something beside its `value`; operations are those of the subclass."""

    value: Array

    @abstractmethod
    def moved(self, move: Callable[[Array], Array]) -> Self:
        """The same entries elsewhere: moving them rounds nothing."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Of the value."""
        return self.value.shape

    @property
    def ndim(self) -> int:
        """Of the value."""
        return self.value.ndim

    @property
    def size(self) -> int:
        """Number of entries."""
        return self.value.size

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of the value."""
        return self.value.dtype

    @property
    def real(self) -> Self:
        """Real part, entry by entry."""
        return self.moved(np.real)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> Self:
        return self.moved(lambda a: a[index])

    def reshape(self, *shape: int) -> Self:
        """As of an array."""
        return self.moved(lambda a: a.reshape(*shape))

    def transpose(self, *axes: int) -> Self:
        """As of an array."""
        return self.moved(lambda a: a.transpose(*axes))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


def unknown(what: str, known: Any) -> TypeError:
    """An operation for which there is no rule: never a silent conversion to a plain array."""
    names = ", ".join(sorted(operation.__name__ for operation in known))
    return TypeError(f"expected an operation among {names}; got {what}; add its rounding rule")
