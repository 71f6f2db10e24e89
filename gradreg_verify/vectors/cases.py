"""A case: a network, inputs, a penalty with its options, and its value and gradient."""

from dataclasses import fields
from typing import Any

import numpy as np

from gradreg_ref import networks
from gradreg_ref.complex_step import gradient
from gradreg_ref.networks import Layer, Network
from gradreg_ref.penalties import PENALTIES, evaluate
from gradreg_ref.typing import Array
from gradreg_verify.vectors.numbers import decode, encode

LAYERS = (
    "Activation",
    "AvgPool2d",
    "BatchNorm",
    "Conv2d",
    "Dropout",
    "Flatten",
    "Linear",
    "MaxPool2d",
    "Residual",
)


def write_layer(layer: Layer) -> dict[str, Any]:
    """A layer by its type and fields."""
    data: dict[str, Any] = {"type": type(layer).__name__}
    for field in fields(layer):  # type: ignore[arg-type]  # every layer is a dataclass
        value = getattr(layer, field.name)
        if isinstance(value, np.ndarray):
            value = encode(value)
        elif isinstance(value, tuple):
            value = [write_layer(inner) for inner in value]
        data[field.name] = value
    return data


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
    return layer


def compute(case: dict[str, Any]) -> tuple[Array, Array]:
    """Value of the batch sum, and its parameter gradient, by the reference.

    Raises
    ------
    ValueError
        The case is not one.
    """
    try:
        network = Network(tuple(read_layer(layer) for layer in case["layers"]))
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

    def f(net: Network) -> Array:
        return np.asarray(evaluate(penalty, net, x, y, reduction="sum", **options))

    return f(network), gradient(f, network)
