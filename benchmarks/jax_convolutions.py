"""The convolutions inside a step with a penalty, each by itself: LeNet's two layers."""

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import jax
import numpy as np
from timing import take_turns

# Images (n, height, width, in) and kernels (height, width, in, out).
LAYERS = {
    "first": ((50, 28, 28, 1), (5, 5, 1, 20)),
    "second": ((50, 12, 12, 20), (5, 5, 20, 50)),
}


def conv(x: Any, w: Any) -> Any:
    """Forward."""
    layout = ("NHWC", "HWIO", "NHWC")
    return jax.lax.conv_general_dilated(x, w, (1, 1), "VALID", dimension_numbers=layout)


def pulled_back(f: Callable[[Any], Any], at: Any, g: Any) -> Any:
    """Backward through f."""
    return jax.vjp(f, at)[1](g)[0]


def in_x(x: Any, w: Any, g: Any) -> Any:
    """Backward, in the image."""
    return pulled_back(lambda x: conv(x, w), x, g)


# The last one makes the same sums as the backward in W.
PARTS: dict[str, Callable[[Any, Any, Any], Any]] = {
    "forward": lambda x, w, _: conv(x, w),
    "backward in x": in_x,
    "backward in W": lambda x, w, g: pulled_back(lambda w: conv(x, w), w, g),
    "of the backward in x, in g": lambda x, w, g: pulled_back(lambda g: in_x(x, w, g), g, x),
    "of the backward in x, in W": lambda x, w, g: pulled_back(lambda w: in_x(x, w, g), w, x),
}


def seconds(part: Any, arrays: Any) -> float:
    """Return the seconds of one call."""
    start = time.perf_counter()
    jax.block_until_ready(part(*arrays))
    return time.perf_counter() - start


def convolutions(turns: int) -> list[dict[str, Any]]:
    """Milliseconds of every part, a row for each layer."""
    rng, found = np.random.default_rng(0), []
    for layer, shapes in LAYERS.items():
        x, w = (jax.device_put(np.float32(rng.normal(size=shape))) for shape in shapes)
        arrays = (x, w, conv(x, w))
        clocks = {name: partial(seconds, jax.jit(part), arrays) for name, part in PARTS.items()}
        take_turns(clocks, 1)  # warm up
        taken = take_turns(clocks, turns)
        medians = {name: round(1e3 * statistics.median(t), 3) for name, t in taken.items()}
        found.append({"layer": layer, "milliseconds": medians})
    return found
