"""Examples of the networks that a function is declared for, and unusual ones.

The unusual ones differ from the bundled ones in shape, in size, and in how sure the network is.
"""

from collections.abc import Iterator
from dataclasses import replace
from math import prod

import numpy as np

from gradreg_ref.networks import AvgPool2d, Flatten, Layer, Linear, MaxPool2d, Network
from gradreg_ref.penalties import PENALTIES
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


def large_batch() -> Example:
    """A batch larger than chunks of 256, in which rows repeat and one is zero, as padding is."""
    rng = np.random.default_rng(13)
    draw, labels = rng.standard_normal, classes(rng)
    x = draw((60, 2))[np.arange(307) % 60]
    x[1] = 0
    return example(draw, labels, dense(draw, "tanh", 2, 3, 3), x, exact=False)


def unusual() -> Iterator[Example]:
    """A large batch; 131 logits of inputs of rank 3, and three layers; 1200 inputs; J = 0; inputs
    as large as pixels; a colour image in [0, 1], higher than wide; logits far from 0, in a batch
    that chunks divide; slopes of 10⁶, which show what is clamped below.
    """
    rng = np.random.default_rng(13)
    draw, labels = rng.standard_normal, classes(rng)
    yield large_batch()
    hidden, activation, last = dense(draw, "tanh", 30, 2, 131)
    layers = (Flatten(), hidden, activation, *dense(draw, "tanh", 2, 2, 2), activation, last)
    of_logits = example(draw, labels, layers, draw((3, 6, 5)), exact=False)
    yield replace(of_logits, y=np.array([130, 128, 0]))  # more than 8 bits with a sign have
    yield example(draw, labels, dense(draw, "tanh", 1200, 2, 3), draw((2, 1200)) / 32, exact=False)
    # One coordinate, and a first example at which no ReLU is open.
    first = Linear(1 + np.abs(draw((3, 1))), np.zeros(3))
    layers = (first, *dense(draw, "relu", 1, 3, 4)[1:])
    yield example(draw, labels, layers, np.array([[-1.0], [0.5], [1.25]]), exact=False)
    hidden, *rest = dense(draw, "tanh", 3, 4, 2)
    layers = (Linear(hidden.weight / 256, hidden.bias), *rest)  # type: ignore[attr-defined]
    x = rng.integers(0, 256, (2, 3)).astype(np.float64)
    yield example(draw, labels, layers, x, exact=False)
    layers = convolutional(draw, "tanh", AvgPool2d, (3, 12, 10), 2)
    yield example(draw, labels, layers, rng.random((2, 3, 12, 10)), exact=False)
    for n, shift, steep in ((64, 100, 1.0), (2, -100, 2.0**20)):
        hidden, *rest, last = dense(draw, "tanh", 2, 4, 3)
        first = Linear(steep * hidden.weight, hidden.bias)  # type: ignore[attr-defined]
        layers = (first, *rest, Linear(last.weight, last.bias + shift))  # type: ignore[attr-defined]
        x, y = draw((n, 2)) / steep, labels(n, 3)
        yield Example(Network(layers), x, y, draw((n, 3)), draw((n, 3, 4)), exact=False)


def sure(penalty: str) -> Iterator[Example]:
    """A network that is sure of a class: every other class has about this probability.

    A probability that is kept above a bound is then another function. The smaller the probability,
    the larger the slopes, so that the penalty is seen: its value is of the size (p · slope)², its
    gradient p² · slope³. The slopes are not larger still, because the rounding of 1 − p shows in
    the gradient as 2⁻⁵³ · p · slope³. The confidence penalty has no slopes in it.
    """
    rng = np.random.default_rng(14)
    draw = rng.standard_normal
    with_J = PENALTIES[penalty].of == "jacobian"
    for p, slope in ((1e-7, 2.0), (4e-13, 2.0**15)) if with_J else ((4e-13, 1.0),):
        first, activation, last = dense(draw, "tanh", 4, 3, 3)
        weight = slope * last.weight  # type: ignore[attr-defined]
        x = draw((1, 4))
        bias = np.log([1, p, p / 2]) - weight @ Network((first, activation)).forward(x)[0]
        layers = (first, activation, Linear(weight, bias))
        yield Example(Network(layers), x, np.array([0]), draw((1, 3)), draw((1, 3, 4)), exact=False)
