"""Find c, b and A of f(r) = c + b·r + rᵀA r from values of f, by polarisation.

A penalty with probes is r ↦ rᵀA r with A = J Jᵀ. So (m+1)(m+2)/2 values show A entry by
entry, and that there is no constant and no linear part. They cannot show that f is quadratic, as
f(|r|) has the same values: compare the form with f at one further random point.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from gradreg_ref import checks
from gradreg_ref.typing import Array


@dataclass(frozen=True)
class QuadraticForm:
    """r ↦ c + b·r + rᵀA r, A symmetric; leading axes (…) are the axes of f's value."""

    constant: Array
    linear: Array
    A: Array

    def __call__(self, r: Array) -> Array:
        """Evaluate at one probe r (m,); the value has shape (…,)."""
        quadratic = np.einsum("...kl,k,l->...", self.A, r, r)
        return self.constant + np.einsum("...k,k->...", self.linear, r) + quadratic


def identify(f: Callable[[Array], Array], m: int) -> QuadraticForm:
    """Fit the quadratic polynomial through f at 0, ±e_i and e_i + e_j (i < j).

    c    = f(0)
    b_i  = (f(e_i) − f(−e_i)) / 2
    A_ii = (f(e_i) + f(−e_i)) / 2 − c
    A_ij = (f(e_i + e_j) − f(e_i) − f(e_j) + c) / 2

    Parameters
    ----------
    f : function
        Maps probes (p, m) to values (p, …). It is called once, with (m+1)(m+2)/2 probes.
    m : int
        Length of a probe.

    Returns
    -------
    QuadraticForm
        constant (…,), linear (…, m), A (…, m, m). It is f if f is quadratic. Whether it
        is shows at a further point: two polynomials that differ agree at random with probability 0.

    Examples
    --------
    >>> form = identify(lambda r: 1 + r[:, 0] + 4 * r[:, 0] * r[:, 1], 2)
    >>> form.A.tolist()
    [[0.0, 2.0], [2.0, 0.0]]
    """
    e = np.eye(checks.count("m", m))
    i, j = np.tril_indices(m, -1)
    values = np.asarray(f(np.concatenate([np.zeros((1, m)), e, -e, e[i] + e[j]])))
    (c,), plus, minus, both = np.split(values, [1, m + 1, 2 * m + 1])
    A = np.zeros((m, m, *c.shape), dtype=values.dtype)
    A[np.diag_indices(m)] = (plus + minus) / 2 - c
    A[i, j] = A[j, i] = (both - plus[i] - plus[j] + c) / 2
    return QuadraticForm(
        c, np.moveaxis((plus - minus) / 2, 0, -1), np.moveaxis(A, (0, 1), (-2, -1))
    )
