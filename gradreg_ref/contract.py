"""Contract: the squared norm of JᵀR for an R that the caller chooses."""

from collections.abc import Callable
from typing import Any

from gradreg_ref import checks
from gradreg_ref.contraction import contract as squared_norm
from gradreg_ref.contraction import reduce
from gradreg_ref.typing import Array, Reduction


def contract(
    J: Array,
    R: Array | Callable[[Array, Any], Array],
    y: Any = None,
    *,
    logits: Array | None = None,
    reduction: Reduction = "mean",
) -> Array:
    """Compute ‖JᵀR‖²_F = Σ_iq (Σ_k J[k, i] R[k, q])² for a given R.

    Every gradient penalty of this package is this number with its own R. An R that depends on the
    parameters through the logits takes part in the gradient: it is never detached.

    Parameters
    ----------
    J : array (n, k, i)
        Jacobian of the logits with respect to the inputs.
    R : array (n, k, q), or callable
        The columns; a callable returns them from (logits, y).
    y : array, optional
        Labels or targets, for a callable R.
    logits : array (n, k), optional
        The logits at the same inputs, for a callable R.
    reduction : {"mean", "sum", "none"}
        Mean or sum over the batch, or one value per example.

    Returns
    -------
    array () or (n,)
        Without a factor ½ and without division by q.

    Raises
    ------
    ValueError, TypeError
        Wrong shape or dtype; a callable R without logits.

    Examples
    --------
    >>> import numpy as np
    >>> J = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    >>> float(contract(J, np.array([[[1.0], [-1.0]]])))  # the difference of two logits
    8.0
    """
    J = checks.jacobian(J)
    if callable(R):
        if logits is None:
            raise ValueError(
                "expected logits= with a callable R, got None; pass the logits at the same inputs"
            )
        R = R(checks.logits(logits, like=J), y)
    return reduce(squared_norm(J, R), reduction)
