"""Finite stand-ins for Haar orthogonal matrices: the rotations of a pentagon and an icosahedron.

Neither solid has an invariant harmonic of degree 1 to 4 (the pentagon's first is of degree 5, the
icosahedron's of degree 6), so a mean over its rotations is the Haar mean up to degree 4: enough for
the variance of a penalty with orthogonal probes, where q columns of one matrix are the q probes.
"""

import numpy as np

from gradreg_ref import checks
from gradreg_ref.typing import Array


def orthogonal_frames(m: int, q: int) -> Array:
    """√m · q columns of Haar orthogonal matrices, up to degree 4: (g, m, q), of equal weight.

    Parameters
    ----------
    m : {2, 3}
        Length of a probe.
    q : int
        Number of probes, at most m.

    Returns
    -------
    array (g, m, q)
        g = 5 (m = 2) or 60 (m = 3), and twice as many for q = m.
    """
    if m not in (2, 3):
        raise ValueError(
            f"expected m = 2 or m = 3, got {m}: this package has no exact finite rule for "
            "orthogonal probes of another length; gradreg_ref.moments has the variance for every m"
        )
    if checks.count("q", q) > m:
        raise ValueError(f"expected q <= {m} orthonormal columns, got {q}")
    Q = pentagon_rotations() if m == 2 else icosahedral_rotations()
    if q == m:  # all columns together show det Q = 1, but a Haar orthogonal matrix has both signs
        Q = np.concatenate([Q, Q * np.where(np.arange(m) == m - 1, -1, 1)])
    return np.sqrt(m) * Q[:, :, :q]


def pentagon_rotations() -> Array:
    """[[cos t, −sin t], [sin t, cos t]] for t = 2πk/5, (5, 2, 2)."""
    t = 2 * np.pi * np.arange(5) / 5
    return np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]).transpose(2, 0, 1)


def icosahedral_rotations() -> Array:
    """D P F, (60, 3, 3): D flips two signs or none, P turns the axes, F = 2πk/5 about a vertex.

    D P is the group A₄ of the tetrahedron inside, F is C₅, and the two meet in the identity only:
    12 · 5 different products, all of A₅. The vertex is (0, 1, φ), φ the golden ratio.
    """
    D = [np.diag(s) for s in ([1, 1, 1], [1, -1, -1], [-1, 1, -1], [-1, -1, 1])]
    P = [np.roll(np.eye(3), k, axis=1) for k in range(3)]
    vertex = np.array([0, 1, (1 + np.sqrt(5)) / 2])
    x, y, z = vertex / np.sqrt(vertex @ vertex)
    K = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    t = 2 * np.pi * np.arange(5) / 5  # Rodrigues: F = I + sin t K + (1 − cos t) K²
    F = [np.eye(3) + np.sin(s) * K + (1 - np.cos(s)) * K @ K for s in t]
    return np.array([d @ p @ f for d in D for p in P for f in F])
