"""What the claims are checked on: a small network, inputs, labels, targets and probes.

*Dyadic* examples have weights, inputs and probes k/4 and layers that keep them dyadic, so every
floating-point operation is exact and an implementation must agree bit for bit. *Smooth* examples
have curved activations and random weights.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np

from gradreg_ref import networks as ref
from gradreg_ref.networks import Layer, Network
from gradreg_ref.penalties import PENALTIES
from gradreg_ref.typing import Array, Rng

Shape = tuple[int, ...]
Draw = Callable[[Shape], Array]
_Labels = Callable[[int, int], Array]


@dataclass(frozen=True)
class Example:
    """A network, inputs, labels and probes to check claims on.

    Parameters
    ----------
    network, x
        A network and inputs (n, …).
    y : array (n,)
        Labels.
    targets : array (n, k)
        For the mean squared error.
    probes : array (n, k, q)
        q = 4, whose square root is exact: R = r/√q and a division by q agree bit for bit.
    exact : bool
        Dyadic: every operation of value and gradient is exact, so the tolerance is zero.
    """

    network: Network
    x: Array
    y: Array
    targets: Array
    probes: Array
    exact: bool

    @property
    def m(self) -> int:
        """Return how many logits it has."""
        return self.probes.shape[1]

    @property
    def z(self) -> Array:
        """Logits (n, k)."""
        return self.network.forward(self.x)

    @property
    def J(self) -> Array:
        """Jacobian (n, k, i)."""
        return self.network.jacobian(self.x)

    @property
    def batch_norm(self) -> bool:
        """Whether a layer has statistics, which a pass in training mode moves."""
        return any(isinstance(layer, ref.BatchNorm) for layer in self.network.layers)

    def rows(self, index: slice | Array) -> "Example":
        """The same network at some of the examples."""
        x, y, targets, probes = (a[index] for a in (self.x, self.y, self.targets, self.probes))
        return replace(self, x=x, y=y, targets=targets, probes=probes)

    def scaled(self, factor: float) -> "Example":
        """The example with its logits, and so J, times a factor."""
        return replace(self, network=_scaled(self.network, factor))

    def with_network(self, layers: tuple[Layer, ...]) -> "Example":
        """The same data at other layers."""
        return replace(self, network=Network(layers))

    def arguments(self, options: Mapping[str, Any]) -> tuple[Network, Array, Array]:
        """Network, inputs, and labels or targets, whichever the loss takes."""
        y = self.targets if options.get("loss") == "mean_squared_error" else self.y
        return self.network, self.x, y

    def __str__(self) -> str:
        layers = "-".join(type(layer).__name__ for layer in self.network.layers)
        kind = "dyadic" if self.exact else "smooth"
        return f"{kind} {layers}, x {self.x.shape}, m = {self.m}"


def dense(draw: Draw, activation: str, i: int, hidden: int, m: int) -> tuple[Layer, ...]:
    """Linear, activation, linear."""
    first = ref.Linear(draw((hidden, i)), draw((hidden,)))
    return (first, ref.Activation(activation), ref.Linear(draw((m, hidden)), draw((m,))))


def residual(draw: Draw, activation: str, i: int, m: int) -> tuple[Layer, ...]:
    """x + activation(linear), then linear."""
    body = (ref.Linear(draw((i, i)), draw((i,))), ref.Activation(activation))
    return (ref.Residual(body), ref.Linear(draw((m, i)), draw((m,))))


def convolutional(
    draw: Draw, activation: str, pool: type[ref.AvgPool2d] | type[ref.MaxPool2d], x: Shape, m: int
) -> tuple[Layer, ...]:
    """Convolution 3×3 with padding, activation, 2×2 pool, linear; for inputs x (c, h, w)."""
    c, height, width = x
    conv = ref.Conv2d(draw((1, c, 3, 3)), draw((1,)), stride=1, padding=1)
    head = ref.Linear(draw((m, (height // 2) * (width // 2))), draw((m,)))
    return (conv, ref.Activation(activation), pool(2, 2), ref.Flatten(), head)


def normalised(draw: Draw, activation: str, i: int, m: int) -> tuple[Layer, ...]:
    """Linear, batch norm with fixed statistics, activation, dropout with a mask, linear."""
    norm = ref.BatchNorm(draw((3,)), draw((3,)), draw((3,)), draw((3,)) ** 2 + 0.5)
    mask = np.array([1.0, 0.0, 1.0])
    first, last = ref.Linear(draw((3, i)), draw((3,))), ref.Linear(draw((m, 3)), draw((m,)))
    return (first, norm, ref.Activation(activation), ref.Dropout(mask, 0.5), last)


def example(
    draw: Draw, labels: _Labels, layers: tuple[Layer, ...], x: Array, exact: bool
) -> Example:
    """An example of these layers at x, with labels, targets and probes drawn."""
    network = _tamed(Network(layers), x)
    n, m = network.forward(x).shape
    return Example(network, x, labels(n, m), draw((n, m)), draw((n, m, 4)), exact)


def _tamed(network: Network, x: Array) -> Network:
    """Halve the last layer until |z| <= 8, which keeps the layer dyadic.

    For larger logits p is onehot to many digits, and p − y a difference of rounding errors.
    """
    size = float(np.abs(network.forward(x)).max())
    if size <= 8 or not isinstance(network.layers[-1], ref.Linear):
        return network
    return _scaled(network, 2.0 ** -np.ceil(np.log2(size / 8)))


def _scaled(network: Network, factor: float) -> Network:
    """The network with its last layer, which is linear, times a factor."""
    *rest, last = network.layers
    assert isinstance(last, ref.Linear)
    bias = None if last.bias is None else factor * last.bias
    return Network((*rest, ref.Linear(factor * last.weight, bias)))


def bundled(seed: int = 0) -> Iterator[Example]:
    """Yield the examples that every backend is checked on: every layer, B, m and input shape once.

    Axes differ in length wherever they can, so that exchanged axes show.
    """
    rng = np.random.default_rng(seed)
    dyadic, smooth, labels = quarters(rng), rng.standard_normal, classes(rng)
    for draw, names, exact in (
        (dyadic, ("relu", "square"), True),
        (smooth, ("tanh", "gelu", "silu", "softplus"), False),
    ):
        for n, m, k in ((1, 2, 0), (2, 1, -1), (5, 3, -2), (2, 10, 1)):
            yield example(draw, labels, dense(draw, names[k], 4, 3, m), draw((n, 4)), exact)
        yield example(draw, labels, residual(draw, names[0], 3, 4), draw((2, 3)), exact)
        for n, c, m, pool in ((2, 1, 3, ref.MaxPool2d), (5, 2, 4, ref.AvgPool2d)):
            layers = convolutional(draw, names[0], pool, (c, 4, 4), m)
            yield example(draw, labels, layers, draw((n, c, 4, 4)), exact)
    # Logits in the thousands show a softmax that overflows, clips or clamps.
    steep = (ref.Linear(2000 * smooth((3, 2)), np.zeros(3)),)
    x = smooth((5, 2))
    yield Example(Network(steep), x, labels(5, 3), smooth((5, 3)), smooth((5, 3, 4)), False)
    yield example(smooth, labels, normalised(smooth, "silu", 5, 4), smooth((2, 5)), False)


def with_entry(a: Array, k: int | np.integer[Any], entry: float) -> Array:
    """A copy with another k-th entry, of all entries in a row."""
    copy = a.copy()
    copy.flat[k] = entry
    return copy


def quarters(rng: Rng) -> Draw:
    """Dyadic entries: k/4 with |k| <= 8."""
    return lambda shape: rng.integers(-8, 9, shape) / 4


def classes(rng: Rng) -> _Labels:
    """n labels of m classes."""
    return lambda n, m: rng.integers(0, m, n)


class Variant(NamedTuple):
    """A penalty with one of its formulas, and whether its arithmetic at an example is exact."""

    penalty: str
    options: dict[str, Any]
    exact: bool

    def rows(self, index: slice | Array) -> "Variant":
        """The same at some of the examples, each of which keeps its probes."""
        probes = self.options.get("probes", ())
        own = {"probes": probes[index]} if len(probes) > 1 else {}
        return self._replace(options=self.options | own)


def all_variants(e: Example) -> Iterator[Variant]:
    """Return every penalty with every formula of the penalty, by the table of penalties."""
    for row in PENALTIES.values():
        for form in row.forms:
            softmax = row.needs_classes(form)
            if row.of == "weights" or (softmax and e.m == 1):
                continue
            smooth = softmax or not row.constant_R
            exact = _exact_mse(e) if form.get("loss") else e.exact and not smooth
            if row.probes != "always":
                yield Variant(row.name, dict(form), exact)
            if row.probes != "never":
                yield Variant(row.name, {**form, "probes": e.probes}, exact)


def _exact_mse(e: Example) -> bool:
    """2 (z − y) / m is exact where m is a power of two, unless squares use up the 53 bits."""
    return e.exact and e.m in (1, 2, 4, 8) and not _squares(e.network.layers)


def _squares(layers: tuple[Layer, ...]) -> bool:
    """Whether a layer squares its input, here or in the body of a residual sum."""
    square = ref.Activation("square")
    return any(
        _squares(layer.body) if isinstance(layer, ref.Residual) else layer == square
        for layer in layers
    )
