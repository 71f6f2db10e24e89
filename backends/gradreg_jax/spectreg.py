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

    In forward mode it is ‖JV‖²_F, V = [v₁ … v_q] / √q probes of the *inputs*: the same mean, and
    for gaussian probes the same variance.

    Parameters
    ----------
    f, params, x, mode, reduction, chunk_size, batch
        As in `frobreg`; here q products.
    probes : array (n, k, q), optional
        The probes r themselves (not yet divided by √q), k over the flattened logits. In forward
        mode (n, i, q), i over the flattened inputs, leaf after leaf.
    probe : {"gaussian", "rademacher", "sphere", "orthogonal", "onehot"}, optional
        Law of the r to draw; without it gaussian, the paper's.
    num_probes : int, optional
        q, how many; without it 1, or as many as `probes` has. Must be below m (i in forward mode):
        then FrobReg costs the same and has no noise.
    shared_probe : bool
        One set of probes for the whole batch, shape (1, k, q): the authors' scripts.
    key : jax.random key
        Needed where probes are drawn.

    Returns
    -------
    array () or (n,)
        No ½. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError
        See `gradreg_jax.checks`: every message says what to do.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), SpectReg; Hutchinson (1990) for the estimator.
    """
    at = Linearised.at(f, params, x, mode, batch)
    R = projection(at, probes, probe, num_probes, shared_probe, key)
    return reduce(at.contract(R, chunk_size), reduction)
