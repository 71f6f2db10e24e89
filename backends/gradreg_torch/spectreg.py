"""SpectReg: a random projection of the logits Jacobian, an unbiased estimate of FrobReg."""

from typing import Unpack

import torch
from torch import Tensor

from gradreg_torch._engine import Inputs, ModelOrLogits, Options, evaluate
from gradreg_torch.penalty import Penalty
from gradreg_torch.probes import Probes


def spectreg(
    model: ModelOrLogits,
    x: Inputs,
    *,
    probes: Tensor | None = None,
    probe: str | None = None,
    num_probes: int | None = None,
    shared_probe: bool = False,
    generator: torch.Generator | None = None,
    **options: Unpack[Options],
) -> Tensor:
    """Compute SpectReg, ‖JᵀR‖²_F with R = [r₁ … r_q] / √q and E[r rᵀ] = I: its mean is ‖J‖²_F.

    Forward mode computes ‖JV‖²_F, where V = [v₁ … v_q] / √q has probes of the *inputs*. The mean
    is the same, and so is the variance for gaussian probes.

    Parameters
    ----------
    model, x, options
        As in `frobreg`.
    probes : Tensor (n, k, q), optional
        The probes r themselves (not yet divided by √q), k over the flattened logits, of the dtype
        and on the device of the logits. By default they are drawn from `probe`.
        In forward mode (n, i, q), i over the flattened inputs.
    probe : {"gaussian", "rademacher", "sphere", "orthogonal", "frames", "onehot"}, optional
        Law of the r to draw; gaussian by default, as in the paper. "frames" has less noise in a
        batch mean of similar examples: its probes are orthogonal across the batch, so per-example
        values are not independent. "onehot" is Random onehot: √m·e_c, c uniform.
    num_probes : int, optional
        The number q; 1 by default, or as many as `probes` has. Must be below m (i in forward mode):
        with m probes FrobReg costs the same and has no noise.
    shared_probe : bool
        One set of probes for the whole batch, shape (1, k, q), as in the authors' scripts. The mean
        is the same. For gaussian probes the variance of a batch mean is 2‖Σ_b A_b‖²_F/B², never
        below the variance of independent probes. Raises an error with batch norm in training mode.
    generator : torch.Generator
        Draws the probes, on the device of the logits. Needed unless `probes` are passed.

    Returns
    -------
    Tensor () or (n,)
        Without a factor ½. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        Bad input. Every message says what was expected and what to do.

    See Also
    --------
    gradreg_ref.spectreg : the same number from an explicit Jacobian.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), SpectReg; Hutchinson (1990) for the estimator.
    """
    R = Probes(probes, probe, num_probes, shared_probe, generator)
    return evaluate(model, x, R, **options).penalty


class SpectReg(Penalty):
    """`spectreg` as a module that keeps its options: ``SpectReg(generator=g)(model, x)``."""

    R = Probes
