"""Random examples for the claims: dyadic or smooth networks, axes of unequal length."""

from typing import Any

import numpy as np
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from gradreg_ref.networks import AvgPool2d, MaxPool2d
from gradreg_ref.typing import Array
from gradreg_verify import examples
from gradreg_verify.examples import Example

DYADIC = st.integers(-8, 8).map(lambda k: k / 4)
# Hypothesis shrinks these too; floats of any size would only find overflow.
SMOOTH = st.integers(-2000, 2000).map(lambda k: k / 997)


@st.composite
def networks(draw: Any, exact: bool) -> Any:
    """Layers, and the shape of one input, over every kind of layer the reference has."""

    def array(shape: tuple[int, ...]) -> Array:
        return draw(arrays(float, shape, elements=DYADIC if exact else SMOOTH, fill=st.nothing()))

    names = ["relu", "square"] if exact else ["tanh", "gelu", "silu", "softplus"]
    activation = draw(st.sampled_from(names))
    m = draw(st.sampled_from([1, 2, 3, 4]))
    kinds = ["dense", "residual", "convolutional"] + (["normalised"] if not exact else [])
    kind = draw(st.sampled_from(kinds))
    i = draw(st.sampled_from([k for k in (1, 2, 3, 5) if k != m]))
    if kind == "dense":
        layers = examples.dense(array, activation, i, draw(st.sampled_from([1, 2, 4])), m)
    elif kind == "residual":
        layers = examples.residual(array, activation, i, m)
    elif kind == "normalised":
        layers = examples.normalised(array, activation, i, m)
    else:
        pool = draw(st.sampled_from([AvgPool2d, MaxPool2d]))
        shape = (draw(st.sampled_from([1, 2])), 4, 4)
        return examples.convolutional(array, activation, pool, shape, m), shape, array
    return layers, (i,), array


@st.composite
def example(draw: Any, exact: bool | None = None) -> Example:
    """A claim's example; `exact` None draws either kind."""
    exact = draw(st.booleans()) if exact is None else exact
    layers, shape, array = draw(networks(exact))
    n = draw(st.sampled_from([1, 2, 4]))

    def labels(n: int, m: int) -> Array:
        return draw(arrays(np.int64, n, elements=st.integers(0, m - 1)))

    return examples.example(array, labels, layers, array((n, *shape)), exact)


@st.composite
def familiar(draw: Any, exact: bool | None = None) -> Example:
    """Fresh numbers in the shapes of some bundled examples: every layer, m = 1, 2, 3 and 4.

    For a backend that compiles its programs, which takes longer than running them.
    """
    some = [list(examples.bundled())[k] for k in (1, 5, 9, 11, 13, 15)]
    kept = [e for e in some if exact in (None, e.exact)]
    e = draw(st.sampled_from(kept))
    elements = DYADIC if e.exact else SMOOTH

    def array(shape: tuple[int, ...]) -> Array:
        return draw(arrays(float, shape, elements=elements, fill=st.nothing()))

    def labels(n: int, m: int) -> Array:
        return draw(arrays(np.int64, n, elements=st.integers(0, m - 1)))

    layers = e.network.with_parameters(array(e.network.parameters().shape)).layers
    return examples.example(array, labels, layers, array(e.x.shape), e.exact)
