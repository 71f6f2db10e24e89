"""How products with J are computed, and which way "auto" takes."""

import warnings

from gradreg_torch import graph

REVERSE, FORWARD, FINITE_DIFFERENCE = "reverse", "forward", "finite_difference"


def resolve(mode: str, names: set[str]) -> str:
    """The mode that "auto" takes for a graph with these nodes; others are held against it.

    Reverse mode, unless an operation has no double backward. Finite differences then: they estimate
    the same number, value exact, gradient to O(h²); a warning says so.
    """
    graph.require_input_gradient(names)
    if mode == REVERSE:
        graph.require_double_backward(names)
    if mode != "auto":
        return mode
    once_only = graph.without_double_backward(names)
    if not once_only:
        return REVERSE
    warnings.warn(
        f"mode='auto' takes finite differences: {', '.join(once_only)} cannot be differentiated "
        "twice; the penalty's value is exact, its gradient to O(h²); pass "
        "mode='finite_difference' to have it silently",
        stacklevel=2,
    )
    return FINITE_DIFFERENCE
