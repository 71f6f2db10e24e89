"""Weight decay: the squared norm of filters and weight matrices."""

from collections.abc import Iterable

from gradreg_ref import checks
from gradreg_ref.typing import Array


def weight_decay(weights: Iterable[Array]) -> Array:
    """Compute Σ_W ‖W‖²_F over the given arrays.

    This is no gradient penalty, but FrobReg generalises it: a linear model has J = W, so
    ``frobreg`` of a linear model is this number.

    Parameters
    ----------
    weights : iterable of arrays
        Weight matrices and filters; biases and scales do not belong (`Network.weights`).

    Returns
    -------
    array ()
        Without a factor ½. The paper's weight decay is ½ of this.

    Raises
    ------
    ValueError, TypeError
        No weights, or not floating, or not finite; a sum of squares that overflows.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), WD and "smart weight decay".

    Examples
    --------
    >>> import numpy as np
    >>> float(weight_decay([np.array([[1.0, 2.0]]), np.array([[3.0]])]))
    14.0
    """
    if not isinstance(weights, Iterable):
        raise TypeError(
            f"expected weights as a list of arrays, got {type(weights).__name__}; "
            "of a network pass network.weights()"
        )
    squares = [(W * W).sum() for W in (checks.floating("weights", W) for W in weights)]
    if not squares:
        raise ValueError("expected at least one weight array, got none; pass network.weights()")
    return checks.no_overflow(sum(squares[1:], start=squares[0]))
