"""SpectReg: a random projection of the logits Jacobian, an unbiased estimate of FrobReg."""

from gradreg_ref import checks
from gradreg_ref.contraction import contract, reduce
from gradreg_ref.probes import columns
from gradreg_ref.typing import Array, Law, Reduction, Rng, Side


def spectreg(
    J: Array,
    *,
    probes: Array | None = None,
    probe: Law | None = None,
    num_probes: int | None = None,
    shared_probe: bool = False,
    rng: Rng | None = None,
    side: Side = "output",
    reduction: Reduction = "mean",
) -> Array:
    """Compute SpectReg, ‖JᵀR‖²_F with R = [r₁ … r_q] / √q and E[r rᵀ] = I: its mean is ‖J‖²_F.

    Parameters
    ----------
    J : array (n, k, i)
        Jacobian of the logits with respect to the inputs.
    probes : array (n, k, q), optional
        The probes r themselves (not yet divided by √q). By default they are drawn from `probe`.
    probe : {"gaussian", "rademacher", "sphere", "orthogonal", "frames", "onehot"}, optional
        Law of the r to draw; gaussian by default, as in the paper. "frames" has less noise in a
        batch mean of similar examples. "onehot" is Random onehot: √m·e_c, c uniform.
    num_probes : int, optional
        The number q to draw; 1 by default. Must be below m: with m probes FrobReg costs the same
        and has no noise.
    shared_probe : bool
        One set of probes for the whole batch, shape (1, k, q), as in the authors' scripts. The mean
        is the same. For gaussian probes the variance of a batch mean is 2‖Σ_b A_b‖²_F/B², never
        below the variance of independent probes.
    rng : numpy.random.Generator
        Draws the probes. With `probes`, pass neither `probe`, `num_probes` nor `rng`.
    side : {"output", "input"}
        "input" is the mirror image ‖JV‖²_F: the same mean, probes of length i.
    reduction : {"mean", "sum", "none"}
        Mean or sum over the batch, or one value per example.

    Returns
    -------
    array () or (n,)
        Without a factor ½.

    Raises
    ------
    ValueError, TypeError
        Wrong shape, dtype or name; num_probes >= m; neither probes nor rng, or both.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), SpectReg; Hutchinson (1990) for the estimator.

    Examples
    --------
    >>> import numpy as np
    >>> J = np.array([[[1.0, 2.0], [3.0, 4.0]]])
    >>> float(spectreg(J, probes=np.array([[[1.0], [-1.0]]])))
    8.0
    """
    J = checks.jacobian(J)
    if checks.choice("side", side, ("output", "input")) == "input":
        J = J.transpose(0, 2, 1)
    n, m, _ = J.shape
    R = columns(n, m, probes, probe, num_probes, shared_probe, rng)
    return reduce(contract(J, R), reduction)
