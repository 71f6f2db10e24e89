"""Arrays that the reference's own code takes for arrays."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin

from gradreg_ref.typing import Array

COMPARISONS = (np.greater, np.less, np.greater_equal, np.less_equal, np.isfinite)


class Carrier(NDArrayOperatorsMixin):
    """An array that the reference's code takes for one: `value`, and what a subclass adds."""

    value: Array

    def like(self, operation: Callable[[Array], Any]) -> Any:
        """The same rearrangement of all that is carried; no arithmetic."""
        raise NotImplementedError

    def __getattr__(self, name: str) -> Any:
        if name in ("shape", "ndim", "dtype", "size"):
            return getattr(self.value, name)
        raise AttributeError(name)

    def __len__(self) -> int:
        return len(self.value)

    def __getitem__(self, index: Any) -> Any:
        return self.like(lambda a: a[index])

    def reshape(self, *shape: Any) -> Any:
        """Another shape."""
        return self.like(lambda a: a.reshape(*shape))

    def transpose(self, *axes: int) -> Any:
        """Another order of axes."""
        return self.like(lambda a: a.transpose(*axes))

    @property
    def real(self) -> Any:
        """Itself where a comparison looks at it."""
        return self.like(np.real)

    def max(self, **kwargs: Any) -> Array:
        """The largest value: a shift, for which any number serves, so it carries no error."""
        return self.value.max(**kwargs)

    def argmax(self, **kwargs: Any) -> Array:
        """Where the largest value is."""
        return self.value.argmax(**kwargs)

    def sum(self, axis: Any = None, keepdims: bool = False) -> Any:
        """Sum over axes."""
        return np.sum(self, axis=axis, keepdims=keepdims)


def plain(a: Any) -> Any:
    """What a carrier carries; anything else as it is."""
    return a.value if isinstance(a, Carrier) else a
