"""Rules of probes that only tests need: several probes together.

Orthogonal probes are q columns of one matrix. The rotations of a pentagon and of an icosahedron
stand for all of them: neither solid has an invariant harmonic of degree 1 to 4 (the pentagon's
first is of degree 5, the icosahedron's of degree 6), so a mean over its rotations is the Haar mean
up to degree 4, which is enough for the variance of a penalty.
"""

import numpy as np

from gradreg_ref.cubature import Rule


def product(rule, copies):
    """Independent probes side by side: points (p^copies, copies · m), weights multiplied."""
    index = np.indices((len(rule.weights),) * copies).reshape(copies, -1).T
    points = rule.points[index].reshape(len(index), -1)
    return Rule(points, rule.weights[index].prod(axis=1), rule.law, rule.degree)


def orthogonal_frames(m, q):
    """√m · q columns of Haar orthogonal matrices (g, m, q), for m = 2 (g = 5) or m = 3 (g = 60).

    All m columns together show det Q = 1, but a Haar orthogonal matrix has either sign: for q = m
    there are twice as many.
    """
    Q = pentagon_rotations() if m == 2 else icosahedral_rotations()
    if q == m:
        Q = np.concatenate([Q, Q * np.where(np.arange(m) == m - 1, -1, 1)])
    return np.sqrt(m) * Q[:, :, :q]


def pentagon_rotations():
    """[[cos t, −sin t], [sin t, cos t]] for t = 2πk/5, (5, 2, 2)."""
    t = 2 * np.pi * np.arange(5) / 5
    return np.array([[np.cos(t), -np.sin(t)], [np.sin(t), np.cos(t)]]).transpose(2, 0, 1)


def icosahedral_rotations():
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
