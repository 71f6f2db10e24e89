"""‖JᵀR‖²_F, the contraction behind every gradient penalty of this package.

=============  =====================================================================
penalty        R[n, k, q]
=============  =====================================================================
frobreg        I, the m × m identity (so JᵀR = Jᵀ)
spectreg       r / √q, the columns of r being q probes with E[r rᵀ] = I
doubleback     ∂L/∂z, for cross-entropy p − onehot(y)
jacreg         ∂p/∂z = diag(p) − p pᵀ, or its product with a probe
onehot         e_y
=============  =====================================================================

Axes: n example, k l logit, i j input coordinate (inputs flattened), q column of R.
"""

import numpy as np

from gradreg_ref import checks
from gradreg_ref.typing import Array, Reduction


def contract(J: Array, R: Array) -> Array:
    """Compute ‖JᵀR‖²_F per example: Σ_iq (Σ_k J[n, k, i] R[n, k, q])².

    Parameters
    ----------
    J : array (n, k, i)
        Jacobian of the logits with respect to the inputs.
    R : array (n, k, q)
        What J is contracted with.

    Returns
    -------
    array (n,)
        A sum of squares: no ½, no mean, no square root. Real for real arguments; for complex ones
        the analytic continuation (z·z, not z·z̄), which is what a complex step differentiates.

    Raises
    ------
    ValueError, TypeError
        Shapes that do not fit, or arrays of something else than numbers.

    Examples
    --------
    >>> import numpy as np
    >>> J = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    >>> contract(J, np.array([[[1.0], [-1.0]]])).tolist()  # (1 − 3)² + (2 − 4)²
    [8.0]
    """
    J, R = checks.as_array("J", J), checks.as_array("R", R)
    if J.ndim != 3 or R.ndim != 3 or J.shape[:2] != R.shape[:2]:
        raise ValueError(
            f"expected J with shape (n, k, i) and R with shape (n, k, q), got {J.shape} and "
            f"{R.shape}; for one example pass J[None] and R[None]"
        )
    Jt_R = np.einsum("nki,nkq->niq", J, R)
    return np.einsum("niq,niq->n", Jt_R, Jt_R)


def reduce(values: Array, reduction: Reduction) -> Array:
    """Reduce per-example values (n,): "none" keeps them, "mean" and "sum" are over the batch.

    Raises
    ------
    ValueError, TypeError
        No values, or not of shape (n,); not finite; an unknown reduction.
    """
    checks.choice("reduction", reduction, ("none", "mean", "sum"))
    values = checks.as_array("values", values)
    if values.ndim != 1 or values.shape[0] == 0:
        raise ValueError(
            f"expected one value per example, shape (n,) with n >= 1, got {values.shape}; "
            "skip empty batches"
        )
    checks.no_overflow(values)
    if reduction == "none":
        return values
    total = values.sum()
    return total if reduction == "sum" else total / values.shape[0]
