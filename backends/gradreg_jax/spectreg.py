"""SpectReg: a random projection of the logits Jacobian, an unbiased estimate of FrobReg."""

from typing import Any

from gradreg_jax.probes import projection
from gradreg_jax.products import Linearised, Model, reduce


def spectreg(
    f: Model,
    params: Any,
    x: Any,
    *,
    probes: Any = None,
    probe: str | None = None,
    num_probes: int | None = None,
    shared_probe: bool = False,
    key: Any = None,
    mode: str = "reverse",
    reduction: str = "mean",
    chunk_size: int | None = None,
    batch: Any = None,
) -> Any:
    """Compute SpectReg, ‖JᵀR‖²_F with R = [r₁ … r_q] / √q and E[r rᵀ] = I: its mean is ‖J‖²_F.

    Forward mode computes ‖JV‖²_F, where V = [v₁ … v_q] / √q has probes of the *inputs*. The mean
    is the same, and so is the variance for gaussian probes.

    Parameters
    ----------
    f, params, x, mode, reduction, chunk_size, batch
        As in `frobreg`; here q products.
    probes : array (n, k, q), optional
        The probes r themselves (not yet divided by √q), k over the flattened logits. In forward
        mode (n, i, q), i over the flattened inputs, leaf after leaf.
    probe : {"gaussian", "rademacher", "sphere", "orthogonal", "frames", "onehot"}, optional
        Law of the r to draw; gaussian by default, as in the paper.
    num_probes : int, optional
        The number q; 1 by default, or as many as `probes` has. Must be below m (i in forward mode):
        with m probes FrobReg costs the same and has no noise.
    shared_probe : bool
        One set of probes for the whole batch, shape (1, k, q), as in the authors' scripts.
    key : jax.random key
        Draws the probes. Needed unless `probes` are passed.

    Returns
    -------
    array () or (n,)
        Without a factor ½. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError
        Bad input. Every message says what was expected and what to do.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), SpectReg; Hutchinson (1990) for the estimator.
    """
    at = Linearised.at(f, params, x, mode, batch)
    R = projection(at, probes, probe, num_probes, shared_probe, key)
    return reduce(at.contract(R, chunk_size), reduction)
