"""E f and Var f in closed form, f(r) = rᵀA r the penalty as a quadratic form of its probe.

With q probes the penalty is (1/q) Σ_q r_qᵀ A r_q. E[r rᵀ] = I gives E f = tr A for every law.

===========  ============================================  =======================================
law          Var f, with D = ‖A‖²_F − (tr A)²/m            why
===========  ============================================  =======================================
gaussian     2 ‖A‖²_F / q                                  Isserlis
rademacher   2 (‖A‖²_F − Σ_i A_ii²) / q                    r_i² = 1: the diagonal has no noise
sphere       2m/(m+2) · D / q                              E r_i²r_j² = m/(m+2) · (1 + 2δ_ij)
orthogonal   2m(m−q) / (q(m+2)(m−1)) · D                   columns repel: covariance −Var/(m−1)
frames       that of orthogonal, for one example           see `batch_mean_variance` for a batch
onehot       (m Σ_i A_ii² − (tr A)²) / q                   f = m A_cc
===========  ============================================  =======================================

Only the symmetric part of A enters f, so A is symmetrised. The side is in A: it is J Jᵀ for probes
of the outputs, JᵀJ for probes of the inputs. Projected jacreg has A = S J Jᵀ S, `gram` of S J.

Avron, Toledo, "Randomized algorithms for estimating the trace", J. ACM 58 (2011): gaussian,
rademacher, onehot. Collins, Śniady, Comm. Math. Phys. 264 (2006): moments of Haar matrices.
"""

from collections.abc import Callable

import numpy as np

from gradreg_ref import checks
from gradreg_ref.typing import Array, Law, Side


def gram(J: Array, side: Side = "output") -> Array:
    """Compute A per example: J Jᵀ, or JᵀJ for probes of the inputs.

    Parameters
    ----------
    J : array (n, k, i)
        Jacobian of the logits with respect to the inputs.
    side : {"output", "input"}
        The side of the probes.

    Returns
    -------
    array (n, k, l) or (n, i, j)
    """
    J = checks.jacobian(J)
    if checks.choice("side", side, ("output", "input")) == "input":
        J = J.transpose(0, 2, 1)
    return np.einsum("nki,nli->nkl", J, J)


def mean(A: Array) -> Array:
    """Compute E f = tr A, the same for every law, as E rᵀAr = Σ_kl A_kl E r_k r_l = Σ_k A_kk.

    Parameters
    ----------
    A : array (…, k, l)
        The matrices A = JJᵀ of the quadratic forms rᵀAr, see `gram`.

    Returns
    -------
    array (…,)
    """
    return np.einsum("...kk->...", _symmetric(A))


def variance(A: Array, probe: Law, num_probes: int = 1) -> Array:
    """Compute Var of (1/q) Σ_q r_qᵀ A r_q, one value per matrix, by the table above.

    Parameters
    ----------
    A : array (…, k, l)
        The matrices A = JJᵀ of the quadratic forms rᵀAr, see `gram`.
    probe : {"gaussian", "rademacher", "sphere", "orthogonal", "frames", "onehot"}
        Law (distribution) of r.
    num_probes : int
        q; independent probes, except "orthogonal" and "frames", which need q <= m.

    Returns
    -------
    array (…,)

    Raises
    ------
    ValueError, TypeError
        A is not square, the law is unknown, or the law does not allow this number of probes.

    Examples
    --------
    >>> import numpy as np
    >>> float(variance(np.eye(3), "gaussian")), float(variance(np.eye(3), "rademacher"))
    (6.0, 0.0)
    """
    A, q = _symmetric(A), checks.count("num_probes", num_probes)
    checks.choice("probe", probe, _VARIANCES)
    return _VARIANCES[probe](A, q)


def fraction_variance(P: Array, k: int, variances: Array | None = None) -> float:
    """Compute Var of a mean over k of n examples without replacement: (1 − k/n) S²/k + v̄/k.

    Parameters
    ----------
    P : array (n,)
        Expected value of every example; S² is their variance with n − 1.
    k : int
        Examples drawn, 1 <= k <= n.
    variances : array (n,), optional
        Variance of each example's estimate over its probes; 0 for an exact penalty.

    Returns
    -------
    float

    Raises
    ------
    ValueError, TypeError
        Shapes other than (n,), or k not between 1 and n.

    References
    ----------
    Cochran, "Sampling Techniques" (1977), theorem 2.2, for the first term.

    Examples
    --------
    >>> import numpy as np
    >>> fraction_variance(np.array([1.0, 3.0]), 1), fraction_variance(np.array([1.0, 3.0]), 2)
    (1.0, 0.0)
    """
    P = checks.floating("P", P)
    n, k = P.size, checks.count("k", k)
    if P.ndim != 1 or k > n:
        raise ValueError(f"expected P with shape (n,) and k <= n, got {P.shape} and k = {k}")
    spread = P.var(ddof=1) if n > 1 else 0.0
    noise = 0.0
    if variances is not None:
        v = checks.floating("variances", variances)
        if v.shape != P.shape:
            raise ValueError(f"expected variances with shape {P.shape} like P, got {v.shape}")
        noise = v.mean()
    return float((1 - k / n) * spread / k + noise / k)


def batch_mean_variance(
    A: Array, probe: Law, num_probes: int = 1, shared_probe: bool = False
) -> Array:
    """Compute Var of a batch mean: Σ_b Var(A_b) / B²; with a shared probe Var(Σ_b A_b) / B².

    Probes of the law "frames" are not independent across the batch: there it is the sum of
    `group_variance` over the groups of m // q examples that have one matrix, over B².

    Independent variances add; a shared probe makes the sum one quadratic form, of Σ_b A_b. For the
    gaussian that is never less, as ⟨A_b, A_c⟩ = ‖J_bᵀJ_c‖² >= 0; for the other laws it can be.

    Parameters
    ----------
    A : array (n, k, l)
        One matrix per example.
    probe, num_probes
        As in `variance`.
    shared_probe : bool
        As in `spectreg`.

    Returns
    -------
    array ()

    Raises
    ------
    ValueError, TypeError
        As `variance`; A of one matrix; a shared_probe that is neither True nor False.
    """
    A = _symmetric(A)
    if A.ndim != 3:
        raise ValueError(f"expected A with shape (n, k, l), got {A.shape}; see moments.gram")
    B, m, _ = A.shape
    checks.choice("probe", probe, _VARIANCES)
    if checks.flag("shared_probe", shared_probe):
        return variance(A.sum(axis=0), probe, num_probes) / B**2
    if probe == "frames":
        size = m // checks.count("num_probes", num_probes)
        groups = (A[b : b + size] for b in range(0, B, size))
        return np.sum([group_variance(group, num_probes) for group in groups]) / B**2
    return variance(A, probe, num_probes).sum() / B**2


def _gaussian(A: Array, q: int) -> Array:
    """2 ‖A‖²_F / q.  Isserlis: E r_i r_j r_k r_l = δ_ij δ_kl + δ_ik δ_jl + δ_il δ_jk."""
    return 2 * _squares(A) / q


def _rademacher(A: Array, q: int) -> Array:
    """2 (‖A‖²_F − Σ_i A_ii²) / q.  f − tr A = 2 Σ_{i<j} A_ij r_i r_j, uncorrelated products."""
    return 2 * (_squares(A) - _diagonal_squares(A)) / q


def _sphere(A: Array, q: int) -> Array:
    """2m/(m+2) (‖A‖²_F − (tr A)²/m) / q.  Isserlis times m/(m+2), as E ‖g‖⁴ = m(m+2)."""
    m = A.shape[-1]
    return 2 * m / (m + 2) * _anisotropy(A) / q


def _orthogonal(A: Array, q: int) -> Array:
    """2m(m−q)/(q(m+2)(m−1)) (‖A‖²_F − (tr A)²/m); 0 for q = m.

    Each column has the sphere's variance V. The sum over all m columns is constant, so two have
    covariance −V/(m−1), and (qV − q(q−1)V/(m−1)) / q² is the formula.
    """
    m = A.shape[-1]
    if q > m:
        raise ValueError(f"expected num_probes <= {m} orthogonal probes, got {q}")
    return 2 * m * (m - q) / (q * (m + 2) * max(m - 1, 1)) * _anisotropy(A)


def group_variance(A: Array, q: int) -> Array:
    """Compute Var of Σ_k (1/q) Σ_j r_kjᵀ A_k r_kj for a group of probes √m · orthonormal.

    V/(m−1) · ((m/q) Σ_k ‖Â_k‖²_F − ‖Σ_k Â_k‖²_F) with V = 2m/(m+2) and Â = A − (tr A/m) I.

    Each probe has the sphere's variance V‖Â‖². The sum over a whole matrix is constant, so two
    probes have the covariance −V⟨Â_k, Â_l⟩/(m−1). For a group of m examples with one probe this is
    2m²/((m+2)(m−1)) · Σ_k ‖Â_k − mean Â‖²: nothing where all A_k are equal.
    """
    A = _symmetric(A)
    m, q = A.shape[-1], checks.count("q", q)
    if q * len(A) > m:
        raise ValueError(f"expected at most {m} probes in a group, got {q * len(A)}")
    if m == 1:
        return np.zeros(())
    traceless = A - (mean(A) / m)[..., None, None] * np.eye(m)
    repelling = _squares(traceless.sum(axis=0))
    return 2 * m / ((m + 2) * (m - 1)) * (m / q * _squares(traceless).sum() - repelling)


def _onehot(A: Array, q: int) -> Array:
    """(m Σ_i A_ii² − (tr A)²) / q.  f = m A_cc: E f² = (1/m) Σ_c m² A_cc²."""
    return (A.shape[-1] * _diagonal_squares(A) - mean(A) ** 2) / q


_VARIANCES: dict[str, Callable[[Array, int], Array]] = {
    "gaussian": _gaussian,
    "rademacher": _rademacher,
    "sphere": _sphere,
    "orthogonal": _orthogonal,
    "frames": _orthogonal,
    "onehot": _onehot,
}


def _anisotropy(A: Array) -> Array:
    """‖A‖²_F − (tr A)²/m, computed as ‖A − (tr A / m) I‖²_F to avoid cancellation."""
    m = A.shape[-1]
    return _squares(A - (mean(A) / m)[..., None, None] * np.eye(m))


def _squares(A: Array) -> Array:
    """‖A‖²_F = Σ_kl A_kl²."""
    return np.einsum("...kl,...kl->...", A, A)


def _diagonal_squares(A: Array) -> Array:
    """Σ_i A_ii²."""
    d = np.einsum("...kk->...k", A)
    return np.einsum("...k,...k->...", d, d)


def _symmetric(A: Array) -> Array:
    """Check matrices (…, k, k) and return ½ (A + Aᵀ)."""
    A = checks.floating("A", A)
    if A.ndim < 2 or A.shape[-1] != A.shape[-2] or 0 in A.shape:
        raise ValueError(f"expected A with shape (..., k, k), got {A.shape}; see moments.gram")
    return (A + np.swapaxes(A, -1, -2)) / 2
