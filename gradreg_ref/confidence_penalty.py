"""Confidence penalty: the negative entropy of the predicted distribution."""

import numpy as np

from gradreg_ref import checks
from gradreg_ref.contraction import reduce
from gradreg_ref.losses import log_softmax
from gradreg_ref.typing import Array, Reduction


def confidence_penalty(logits: Array, *, reduction: Reduction = "mean") -> Array:
    """Compute Σ_k p_k log p_k, the negative entropy of p = softmax(z).

    This is no gradient penalty. It is here because the paper compares with it.

    Parameters
    ----------
    logits : array (n, k)
        The network's outputs z.
    reduction : {"mean", "sum", "none"}
        Mean or sum over the batch, or one value per example. The authors' scripts use the sum.

    Returns
    -------
    array () or (n,)
        Natural logarithm; between −log m (uniform) and 0 (certain).

    Raises
    ------
    ValueError, TypeError
        Wrong shape or dtype; one logit.

    References
    ----------
    Pereyra et al., "Regularizing neural networks by penalizing confident output distributions"
    (2017); Varga, Csiszárik, Zombori (arXiv:1712.09936), CP.

    Examples
    --------
    >>> import numpy as np
    >>> round(float(confidence_penalty(np.zeros((1, 2)))), 6)  # -log 2
    -0.693147
    """
    z = checks.logits(logits)
    checks.more_than_one_class(z.shape[1])
    log_p = log_softmax(z)
    return reduce(np.einsum("nk,nk->n", np.exp(log_p), log_p), reduction)
