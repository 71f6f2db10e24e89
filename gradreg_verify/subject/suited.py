"""Examples of the networks that a function is declared for."""

from collections.abc import Iterator
from math import prod

import numpy as np

from gradreg_ref.networks import AvgPool2d, Flatten, Layer, MaxPool2d
from gradreg_verify.examples import (
    Draw,
    Example,
    Shape,
    bundled,
    classes,
    convolutional,
    dense,
    example,
    quarters,
    residual,
)
from gradreg_verify.subject.declaration import Declaration

_BATCHES = (1, 2, 5)
_VECTORS: tuple[Shape, ...] = ((4,), (3,), (5,))
_IMAGES: tuple[Shape, ...] = ((1, 4, 4), (2, 4, 4))


def suited(d: Declaration, seed: int = 0) -> Iterator[Example]:
    """The bundled examples, or as many of the declared shape."""
    if not d.restricted:
        yield from bundled(seed)
        return
    rng = np.random.default_rng(seed)
    dyadic, smooth, labels = quarters(rng), rng.standard_normal, classes(rng)
    for draw, names, exact in ((dyadic, ("relu",), True), (smooth, ("tanh", "gelu"), False)):
        for k, (x, m) in enumerate(_shapes(d)):
            n, name = _BATCHES[k % len(_BATCHES)], names[k % len(names)]
            for layers in _networks(draw, name, x, m):
                yield example(draw, labels, layers, draw((n, *x)), exact)


def _shapes(d: Declaration) -> Iterator[tuple[Shape, int]]:
    """Shapes of an input, with a number of logits."""
    if d.input:
        inputs: tuple[Shape, ...] = (d.input,) * len(_BATCHES)
    elif d.square:
        inputs = ((d.outputs,),) * len(_BATCHES) if d.outputs else _VECTORS
    else:
        inputs = (*_VECTORS, *_IMAGES)
    for x, m in zip(inputs, (3, 2, 4, 3, 2), strict=False):
        yield x, prod(x) if d.square else d.outputs or m


def _networks(draw: Draw, name: str, x: Shape, m: int) -> Iterator[tuple[Layer, ...]]:
    """Networks of that shape: two for a vector, up to three for an image."""
    if len(x) == 1:
        yield dense(draw, name, x[0], 3, m)
        yield residual(draw, name, x[0], m)
        return
    yield (Flatten(), *dense(draw, name, prod(x), 3, m))
    if min(x[1:]) >= 2:
        for pool in (AvgPool2d, MaxPool2d):
            yield convolutional(draw, name, pool, x, m)


def fits(d: Declaration, e: Example) -> bool:
    """Whether a function that is declared so is for this example."""
    x, m = e.x.shape[1:], e.m
    return (
        (not d.input or x == d.input)
        and (d.outputs is None or m == d.outputs)
        and (not d.square or m == prod(x))
    )
