"""The attributes and methods of an array that the reference uses, besides NumPy's functions.

A duck array carries more than a number through the *same* formulas: its error bound
(`rounding.bounded`) or a random rounding error (`rounding.perturbed`).
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from operator import attrgetter
from typing import Any, Self

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from gradreg_ref.typing import Array


class Duck(NDArrayOperatorsMixin, ABC):
    """An array with something beside its `value`; what operations do is up to the subclass."""

    value: Array
    shape = property(attrgetter("value.shape"))
    ndim = property(attrgetter("value.ndim"))
    size = property(attrgetter("value.size"))
    dtype = property(attrgetter("value.dtype"))

    @abstractmethod
    def moved(self, move: Callable[[Array], Array]) -> Self:
        """Move the entries without rounding them."""

    @abstractmethod
    def computed(self, operation: Callable[..., Any], *inputs: Any) -> Any:
        """An elementwise function, `numpy.where` or `numpy.einsum` of arrays and duck arrays."""

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if method != "__call__" or options:
            raise unknown(f"{ufunc.__name__}.{method} with {options or 'no options'}")
        return self.computed(ufunc, *inputs)

    def __array_function__(self, function: Any, types: Any, args: Any, options: Any) -> Any:
        if options or function not in (np.broadcast_to, np.einsum, np.where):
            raise unknown(f"numpy.{function.__name__} with {options or 'no options'}")
        if function is np.broadcast_to:
            return self.moved(lambda a: np.broadcast_to(a, args[1]))
        return self.computed(function, *args)

    @property
    def real(self) -> Self:
        """Real part of every entry."""
        return self.moved(np.real)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> Self:
        return self.moved(lambda a: a[index])

    def reshape(self, *shape: int) -> Self:
        """Reshape, as an array does."""
        return self.moved(lambda a: a.reshape(*shape))

    def transpose(self, *axes: int) -> Self:
        """Transpose, as an array does."""
        return self.moved(lambda a: a.transpose(*axes))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.value!r})"


def unknown(what: str) -> TypeError:
    """Refuse an operation without a rule: never a silent conversion to a plain array."""
    return TypeError(
        f"expected an operation with a rounding rule, got {what}; "
        "write it with +, −, ×, /, einsum, where and functions of the table, or add its rule"
    )
