"""‖JᵀR‖²_F, the one contraction that every penalty of this package is.

=============  =====================================================================
penalty        R[n, k, q]
=============  =====================================================================
frobreg        I, the m × m identity (so JᵀR = Jᵀ)
spectreg       q probes r / √q with E[r rᵀ] = I
doubleback     ∂L/∂z, for cross-entropy p − onehot(y)
jacreg         ∂p/∂z = diag(p) − p pᵀ, or that times a probe
onehot         e_y
=============  =====================================================================

Axes: n example, k l logit, i j input coordinate (inputs flattened), q column of R.
"""

import numpy as np

from gradreg_ref import checks
from gradreg_ref.typing import Array, Reduction


def contract(J: Array, R: Array) -> Array:
    """‖JᵀR‖²_F of every example: Σ_iq (Σ_k J[n, k, i] R[n, k, q])².

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
    """
    Jt_R = np.einsum("nki,nkq->niq", J, R)
    return np.einsum("niq,niq->n", Jt_R, Jt_R)


def reduce(values: Array, reduction: Reduction) -> Array:
    """Per-example values (n,) as they are ("none"), their mean or their sum over the batch."""
    checks.choice("reduction", reduction, ("none", "mean", "sum"))
    if not np.all(np.isfinite(values)):
        raise ValueError("expected a finite penalty, got an overflow; scale the network down")
    if reduction == "none":
        return values
    total = values.sum()
    return total if reduction == "sum" else total / values.shape[0]
