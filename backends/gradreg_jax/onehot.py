"""Onehot: the squared input gradient of the true class's logit."""

from typing import Any

from gradreg_jax.losses import onehot_rows
from gradreg_jax.products import Linearised, Model, reduce


def onehot(
    f: Model, params: Any, x: Any, y: Any, *, reduction: str = "mean", batch: Any = None
) -> Any:
    """Compute Onehot, ‖Jᵀe_y‖² = Σ_i J[y, i]², that is ‖JᵀR‖²_F with R = e_y.

    *Random onehot* is a law of probes: ``spectreg(f, params, x, probe="onehot", key=key)``.

    Parameters
    ----------
    f, params, x, reduction, batch
        As in `frobreg`; f returns logits (n, k).
    y : array (n,)
        Labels in [0, m), of an integer dtype. Under `jit`, where nothing can be raised, others
        make their example's value NaN.

    Returns
    -------
    array () or (n,)
        Without a factor ½ or m. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError
        Bad input. Every message says what was expected and what to do.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), Onehot and Random onehot.
    """
    at = Linearised.at(f, params, x, batch=batch)
    if at.output.ndim != 2:
        raise ValueError(f"expected logits with shape (n, k), got {at.output.shape}")
    e_y = onehot_rows(y, *at.output.shape)
    return reduce(at.contract(e_y[:, :, None]), reduction)
