"""A network and data as Python, to paste."""

import re
from dataclasses import is_dataclass
from typing import Any

import numpy as np

from gradreg_verify.examples import Example


def code(e: Example) -> str:
    """The network and the data as Python."""
    layers = ",\n    ".join(map(as_code, e.network.layers))
    names = sorted({"Network", *re.findall(r"([A-Z]\w+)\(", layers)})
    return (
        "import numpy as np\n"
        f"from gradreg_ref.networks import {', '.join(names)}\n\n"
        f"network = Network((\n    {layers},\n))\n"
        f"x = {as_code(e.x)}\n"
        f"y = {as_code(e.y)}"
    )


def as_code(value: Any) -> str:
    """A layer as its constructor's call, an array with every digit."""
    if isinstance(value, np.ndarray):
        return f"np.array({value.tolist()!r})"
    if isinstance(value, tuple):
        return f"({', '.join(map(as_code, value))},)"
    if is_dataclass(value):
        fields = ", ".join(f"{name}={as_code(field)}" for name, field in vars(value).items())
        return f"{type(value).__name__}({fields})"
    return repr(value)
