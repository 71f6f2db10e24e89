"""A network and data as Python, to paste."""

import numpy as np

from gradreg_ref.networks import Layer, Residual
from gradreg_ref.typing import Array
from gradreg_verify.examples import Example


def code(e: Example) -> str:
    """The network and the data as Python."""
    layers = ",\n    ".join(of_layer(layer) for layer in e.network.layers)
    return (
        "import numpy as np\n"
        f"from gradreg_ref.networks import {', '.join(sorted(names(e.network.layers)))}\n\n"
        f"network = Network((\n    {layers},\n))\n"
        f"x = {of_array(e.x)}\n"
        f"y = {of_array(e.y)}"
    )


def names(layers: tuple[Layer, ...]) -> set[str]:
    """What the code must import."""
    found = {"Network"}
    for layer in layers:
        found.add(type(layer).__name__)
        if isinstance(layer, Residual):
            found |= names(layer.body)
    return found


def of_layer(layer: Layer) -> str:
    """A layer as its constructor's call."""
    fields = []
    for name, value in vars(layer).items():
        if isinstance(value, tuple):
            body = ", ".join(of_layer(inner) for inner in value)
            fields.append(f"{name}=({body},)")
        else:
            shown = of_array(value) if isinstance(value, np.ndarray) else repr(value)
            fields.append(f"{name}={shown}")
    return f"{type(layer).__name__}({', '.join(fields)})"


def of_array(a: Array) -> str:
    """An array as code, every digit kept."""
    return f"np.array({a.tolist()!r})"
