"""Weight decay: the squared norm of the weights."""

from typing import Any

import jax

from gradreg_jax import checks
from gradreg_jax.products import at_least_single


def weight_decay(params: Any) -> Any:
    """Σ ‖W‖²_F over arrays of two axes or more: weights and filters, no biases, no scales.

    Parameters
    ----------
    params : pytree of arrays
        Of the network.

    Returns
    -------
    array ()
        No ½: of a linear model it *is* FrobReg.
    """
    weights = [leaf for leaf in jax.tree.leaves(params) if leaf.ndim >= 2]
    if not weights:
        raise ValueError("expected params with an array of two axes or more, got none")
    return sum((at_least_single(checks.floating("params", W)) ** 2).sum() for W in weights)
