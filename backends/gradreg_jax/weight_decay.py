"""Weight decay: the squared norm of the weights."""

from typing import Any

import jax
import jax.numpy as jnp

from gradreg_jax import arrays
from gradreg_jax.products import at_least_single


def weight_decay(params: Any) -> Any:
    """Compute Σ ‖W‖²_F over arrays of two axes or more: weights and filters, no biases, no scales.

    Parameters
    ----------
    params : pytree of floating arrays
        Parameters of the network. Numbers and arrays of one axis (biases, scales) are left out.
        Biases of more axes count, as nothing tells them from weights: those of Equinox's
        convolutions, (k, 1, 1), and those of layers stacked for `jax.lax.scan`. Leave them out of
        params, or for stacked layers take ``jax.vmap(weight_decay)(params).sum()``.

    Returns
    -------
    array ()
        Without a factor ½. For a linear model it equals FrobReg.

    Raises
    ------
    ValueError, TypeError
        There are no weights, or a leaf is no number (an activation, a name, a table of indices).
    """
    leaves = jax.tree.leaves(params, is_leaf=arrays.sparse)
    weights = [leaf for leaf in leaves if _is_weight(leaf)]
    if not weights:
        raise ValueError("expected params with an array of two axes or more, got none")
    return sum((at_least_single(arrays.floating("params", W)) ** 2).sum() for W in weights)


def _is_weight(leaf: Any) -> bool:
    """Return whether a leaf is a floating array of two axes or more; refuse what is no array."""
    if isinstance(leaf, int | float):
        return False
    axes = getattr(leaf, "ndim", None)
    if axes is None or (axes >= 2 and not jnp.issubdtype(arrays.array(leaf).dtype, jnp.floating)):
        raise TypeError(
            "expected params whose leaves are floating arrays, got "
            f"{getattr(leaf, 'dtype', type(leaf).__name__)}; filter them, "
            "eqx.filter(params, eqx.is_inexact_array), say"
        )
    return bool(axes >= 2)
