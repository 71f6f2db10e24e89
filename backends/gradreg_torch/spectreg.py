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

    In forward mode it is ‖JV‖²_F, V = [v₁ … v_q] / √q probes of the *inputs*: the same mean, and
    for gaussian probes the same variance.

    Parameters
    ----------
    model, x, options
        As in `frobreg`.
    probes : Tensor (n, k, q), optional
        The probes r themselves (not yet divided by √q), k over the flattened logits, of the dtype
        and on the device of the logits. Without them they are drawn from `probe`.
        In forward mode (n, i, q), i over the flattened inputs.
    probe : {"gaussian", "rademacher", "sphere", "orthogonal", "frames", "onehot"}, optional
        Law of the r to draw; without it gaussian, the paper's. "frames" has the least noise in a
        batch mean: its probes are orthogonal across the batch, so per-example values are not
        independent. "onehot" is Random onehot: √m·e_c, c uniform.
    num_probes : int, optional
        q, how many; without it 1, or as many as `probes` has. Must be below m (i in forward mode):
        then FrobReg costs the same and has no noise.
    shared_probe : bool
        One set of probes for the whole batch, shape (1, k, q): the authors' scripts.
        The mean stays; the variance of a batch mean is 2‖Σ_b A_b‖²_F/B² for gaussian probes,
        never below that of independent ones. Refused with batch norm in training mode.
    generator : torch.Generator
        On the device of the logits. Needed where probes are drawn.

    Returns
    -------
    Tensor () or (n,)
        No ½. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        See `gradreg_torch.checks`: every message says what to do.

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
