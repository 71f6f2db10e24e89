"""A case: a network, inputs, a penalty with its options, and its value and gradient.

Its arrays are in JSON without a rounding: integers over a power of two, or hexadecimal float64.
"""

from math import prod
from typing import Any

import numpy as np

from gradreg_ref import networks
from gradreg_ref.complex_step import gradient
from gradreg_ref.networks import Layer, Network
from gradreg_ref.penalties import PENALTIES, Case, Formula
from gradreg_ref.typing import Array

MOST = 300  # numbers in a layer, and parameters: Jacobians are written out in full
_FINEST = 40  # a dyadic array is one of integers / 2^k with k up to this
LAYERS = sorted({*networks.__all__} - {"Layer", "Network"})


def read_layer(data: Any) -> Layer:
    """The layer; ValueError where it is none."""
    if not isinstance(data, dict) or data.get("type") not in LAYERS:
        raise ValueError(f"expected a layer of type {', '.join(LAYERS)}; got {data!r:.60}")
    arguments = {}
    for name, value in data.items():
        if isinstance(value, dict):
            value = decode(value)
        elif isinstance(value, list):
            value = tuple(read_layer(inner) for inner in value)
        if name != "type":
            arguments[name] = value
    try:
        layer: Layer = getattr(networks, data["type"])(**arguments)
    except TypeError as error:
        raise ValueError(f"{data['type']}: {error}") from error
    for name in {"stride", "size", "padding"} & arguments.keys():
        least = 0 if name == "padding" else 1
        if type(arguments[name]) is not int or not least <= arguments[name] <= MOST:
            raise ValueError(
                f"expected {name} of {data['type']} to be a whole number from {least} to {MOST}, "
                f"got {arguments[name]!r:.40}"
            )
    return layer


def _require_small(layers: tuple[Layer, ...], x: Array) -> Array:
    """The output of the layers, none of which is larger than a full Jacobian is fit for."""
    for layer in layers:
        coordinates = x.size
        if isinstance(layer, networks.Conv2d):
            _, _, height, width = x.shape
            p = 2 * layer.padding
            coordinates = len(x) * layer.weight.shape[0] * (height + p) * (width + p)
        if coordinates > MOST:
            raise ValueError(f"expected layers of at most {MOST} numbers, got {coordinates}")
        if isinstance(layer, networks.Residual):
            _require_small(layer.body, x)
        x = layer.forward(x)
    return x


def compute(case: dict[str, Any], formula: Formula | None = None) -> tuple[Array, Array]:
    """Value of the batch sum, and its parameter gradient, by the reference or another formula.

    Raises
    ------
    ValueError
        The case is not one.
    """
    try:
        layers = tuple(read_layer(layer) for layer in case["layers"])
        if type(case["exact"]) is not bool:
            raise ValueError(f"expected exact to be true or false, got {case['exact']!r:.40}")
        x, y = decode(case["x"]), decode(case["y"])
        penalty, options = case["penalty"], dict(case["options"])
        probes = case.get("probes")
    except (KeyError, TypeError) as error:
        raise ValueError(f"expected layers, x, y, penalty and options: {error}") from error
    if penalty not in PENALTIES:
        raise ValueError(f"expected a penalty among {', '.join(PENALTIES)}; got {penalty!r}")
    if options.get("loss") != "mean_squared_error":
        y = y.astype(int)
    if probes is not None:
        options["probes"] = decode(probes)

    formula = formula or PENALTIES[penalty].formula

    def f(net: Network) -> Array:
        return np.asarray(formula(Case.at(net, x, y), reduction="sum", **options))

    with np.errstate(all="ignore"):  # of overflows, whose results differ
        network = Network(layers)
        if network.parameters().size > MOST:
            raise ValueError(f"expected at most {MOST} parameters")
        _require_small(layers, x)
        return f(network), gradient(f, network)


def encode(a: Array) -> dict[str, Any]:
    """{"shape", "integers", "over": k} for integers / 2^k; else {"shape", "hex"}."""
    flat = np.asarray(a, dtype=float).ravel()
    for k in range(_FINEST + 1):
        with np.errstate(over="ignore"):
            scaled = flat * 2.0**k
        if (scaled == np.rint(scaled)).all() and np.abs(scaled).max(initial=0) < 2**53:
            return {"shape": list(np.shape(a)), "integers": [int(v) for v in scaled], "over": k}
    return {"shape": list(np.shape(a)), "hex": [float(v).hex() for v in flat]}


def decode(data: Any) -> Array:
    """The array.

    Raises
    ------
    ValueError
        No such encoding, or another number of entries than its shape has.
    """
    try:
        shape = tuple(_whole(n, 2**31) for n in data["shape"])
        if "hex" in data:
            flat = np.array([_hexadecimal(text) for text in data["hex"]])
        else:
            scale = 2.0 ** _whole(data["over"], _FINEST)
            flat = np.array([_whole(n, 2**53) for n in data["integers"]], dtype=float) / scale
    except (TypeError, KeyError, ValueError, OverflowError) as error:
        raise ValueError(f"expected an array of shape and integers or hex: {error}") from error
    if min(shape, default=0) < 0 or flat.size != prod(shape):
        raise ValueError(f"expected {prod(shape)} numbers for shape {shape}, got {flat.size}")
    return flat.reshape(shape)


def _whole(n: Any, below: int) -> int:
    """A whole number that float64 holds; int() would round 1.5 down in silence."""
    if type(n) is not int or abs(n) > below:
        raise ValueError(f"expected a whole number up to {below}, got {n!r:.40}")
    return n


def _hexadecimal(text: str) -> float:
    """C's %a, with its 0x; float.fromhex takes 1.5 for 0x1.5, which is 1.3125."""
    if text.lower().lstrip("+-")[:2] not in ("0x", "in", "na"):
        raise ValueError(f"expected a number in hexadecimal, as 0x1.8p+1, got {text!r:.40}")
    return float.fromhex(text)
