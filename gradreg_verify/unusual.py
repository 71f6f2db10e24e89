"""Examples that differ from the bundled ones: in shape, in size, and in how sure the network is."""

from collections.abc import Iterator

import numpy as np

from gradreg_ref.networks import AvgPool2d, Flatten, Linear, Network
from gradreg_ref.penalties import PENALTIES
from gradreg_verify.examples import Example, classes, convolutional, dense, example


def unusual() -> Iterator[Example]:
    """A batch larger than chunks, in which rows repeat and one is zero, as padding is; many logits
    of inputs of rank 3, and three layers; J = 0; inputs as large as pixels; a colour image in
    [0, 1], higher than wide; logits far from 0, in a batch that chunks divide; slopes of 10⁶, which
    show what is clamped below.
    """
    rng = np.random.default_rng(13)
    draw, labels = rng.standard_normal, classes(rng)
    x = draw((67, 2))[np.arange(67) % 60]
    x[1] = 0
    yield example(draw, labels, dense(draw, "tanh", 2, 3, 3), x, exact=False)
    hidden, activation, last = dense(draw, "tanh", 6, 2, 35)
    layers = (Flatten(), hidden, activation, *dense(draw, "tanh", 2, 2, 2), activation, last)
    yield example(draw, labels, layers, draw((3, 2, 3)), exact=False)
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
