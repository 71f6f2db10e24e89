"""Reading the probes off a penalty that does not show them.

The network below has, at example b, the Jacobian [I 0] and weights W_b of its own. Its input is
(u, s) with u = 0; s opens the b-th block of ReLUs by a saturated step, so that no derivative goes
through s:

    g_i = relu(s_i) − relu(s_i − 1)      (1 at s_i = 3, 0 at s_i = −1, slope 0 at both)
    z   = Σ_c relu(W_c u + K Σ_i T_ci g_i − (t − ½) K)   with W_c = I.

T is a table of zeros and ones with t ones in every row: the identity (t = 1), or for large batches
the two coordinates of c in a square (t = 2), which needs 2√n numbers s instead of n. Example b has
s_i = 3 where T_bi = 1: only its own block is open.

The penalty Σ_b (1/q) Σ_j ‖Jᵀr_bj‖² then has the gradient (2/q) Σ_j r_bj r_bjᵀ in W_b: the probes,
up to the sign (and for q > 1 a rotation) which no penalty depends on. Probes of the inputs show
their part in u. As u = 0 no logit depends on W, and all are equal: in JacReg the softmax only takes
the mean off r and divides by m.
"""

from functools import cache
from math import isqrt

import numpy as np

from gradreg_ref.networks import Activation, Flatten, Linear, Network
from gradreg_ref.typing import Array
from gradreg_verify.outcomes import Broken

K = 4.0
BLOCKS = 4  # of the network's arrays of parameters, the one with every W_b
LIMIT = 1e-9


@cache
def network(n: int, m: int, images: bool = False) -> tuple[Network, Array]:
    """The network with n blocks of m logits, and its inputs (n, m + selectors(n)), or (n, 3, h, 2).

    Images have up to five more coordinates, on which nothing depends.
    """
    T, i = _table(n), selectors(n)
    height = -(-(m + i) // 6)
    size = 6 * height if images else m + i
    u, s = np.eye(m, size), np.eye(i, size, k=m)
    split = Linear(np.concatenate([u, s, s]), np.repeat([2.0, 0.0, -1.0], [m, i, i]))
    steps = np.block([[np.eye(m), np.zeros((m, 2 * i))], [np.zeros((i, m)), np.eye(i), -np.eye(i)]])
    join = Linear(steps, np.repeat([-2.0, 0.0], [m, i]))  # (u, g): u is 0 again
    gate = K * np.repeat(T, m, axis=0)
    closed = np.full(n * m, (0.5 - T[0].sum()) * K)
    blocks = Linear(np.concatenate([np.tile(np.eye(m), (n, 1)), gate], axis=1), closed)
    add = Linear(np.tile(np.eye(m), (1, n)), np.zeros(m))
    layers = (split, Activation("relu"), join, blocks, Activation("relu"), add)
    x = np.zeros((n, size))
    x[:, m : m + i] = 4 * T - 1
    if not images:
        return Network(layers), x
    return Network((Flatten(), *layers)), x.reshape(n, 3, height, 2)


def selectors(n: int) -> int:
    """How many numbers s an example has in a batch of n."""
    return int(_table(n).shape[1])


def _table(n: int) -> Array:
    """T: which numbers s open the block of each example."""
    side = isqrt(n - 1) + 1
    if n <= 2 * side:
        return np.eye(n)
    row, column = np.divmod(np.arange(n), side)
    return np.concatenate([np.eye(side)[row], np.eye(side)[column]], axis=1)


def second_moments(gradient: Array, n: int, m: int, limit: float = LIMIT) -> Array:
    """(1/q) Σ_j r_j r_jᵀ of every example, (n, m, m), from the gradient of the batch *sum*.

    The gradient is that in `BLOCKS`; `limit` is what rounding may change.
    """
    blocks = gradient.reshape(n, m, m + selectors(n))[:, :, :m] / 2
    asymmetry = np.abs(blocks - blocks.transpose(0, 2, 1)).max()
    if not asymmetry <= limit * max(float(np.abs(blocks).max()), 1.0):
        raise Broken(
            "its gradient is not the gradient of a quadratic form: the rrᵀ read out is asymmetric"
        )
    return blocks


def probes(moments: Array, q: int, limit: float = LIMIT) -> Array:
    """R (n, m, q) with R Rᵀ / q the matrices read out: as good as the probes themselves."""
    m = moments.shape[1]
    if q == 1 and (r := _single(moments, limit)) is not None:
        return r[:, :, None]
    eigenvalues, vectors = np.linalg.eigh(q * moments)  # in rising order
    largest = max(float(eigenvalues.max()), 1.0)
    if (eigenvalues < -limit * largest).any():
        raise Broken(
            "its gradient is not the gradient of a sum of squares: rrᵀ has negative eigenvalues"
        )
    if (eigenvalues[:, : max(m - q, 0)] > limit * largest).any():
        raise Broken(f"expected {q} probe(s) per example, got more (read out from the gradient)")
    roots = np.sqrt(np.clip(eigenvalues, 0, None))
    R = (vectors * roots[:, None, :])[:, :, ::-1][:, :, :q]
    return np.concatenate([R, np.zeros((len(R), m, max(0, q - m)))], axis=2)


def _single(moments: Array, limit: float) -> Array | None:
    """The probes r (n, m) where every matrix is r rᵀ, from the column of its largest entry."""
    rows = np.arange(len(moments))
    squares = np.einsum("nkk->nk", moments)
    largest = squares.argmax(axis=1)
    column, square = moments[rows, :, largest], squares[rows, largest]
    if (square < 0).any():
        return None
    r: Array = column / np.sqrt(np.where(square == 0, 1, square))[:, None]
    off = np.abs(np.einsum("nk,nl->nkl", r, r) - moments).max()
    return r if off <= limit * max(float(square.max()), 1.0) else None
