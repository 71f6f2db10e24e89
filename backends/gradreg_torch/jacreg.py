"""JacReg: the squared Frobenius norm of the Jacobian of the class probabilities."""

import torch
from torch import Tensor

from gradreg_torch import checks, forward
from gradreg_torch.contraction import contract, identity, reduce
from gradreg_torch.forward_pass import ForwardPass, Inputs, ModelOrLogits, Wrt, forward_pass
from gradreg_torch.penalty import Penalty
from gradreg_torch.probes import batch_probes
from gradreg_torch.sums import at_least_single, sum_of_squares


def jacreg(
    model: ModelOrLogits,
    x: Inputs,
    *,
    probes: Tensor | None = None,
    probe: str = "gaussian",
    num_probes: int | None = None,
    shared_probe: bool = False,
    generator: torch.Generator | None = None,
    mode: str = "auto",
    batchnorm: str = "batch",
    wrt: Wrt = None,
    reduction: str = "mean",
    chunk_size: int | None = None,
    check_values: bool | None = None,
) -> Tensor:
    """‖∂p/∂x‖²_F = ‖JᵀR‖²_F with R = S = ∂p/∂z = diag(p) − p pᵀ; projected, R = S r / √q.

    In forward mode it is ‖S J V‖²_F with V = I, or probes of the inputs / √q.

    S depends on the parameters through p and is never detached: it takes part in the gradient.

    Parameters
    ----------
    model, x, mode, batchnorm, wrt, reduction, chunk_size, check_values
        As in `frobreg`; the model returns *logits* (n, k), not probabilities.
    probes, probe, shared_probe, generator
        As in `spectreg`, for the projected form.
    num_probes : int, optional
        None, the default, is the exact form: m vector-Jacobian products (i in forward mode).

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
    gradreg_ref.jacreg : the same number from an explicit Jacobian.

    References
    ----------
    Sokolić, Giryes, Sapiro, Rodrigues, "Robust large margin deep neural networks" (2016);
    Varga, Csiszárik, Zombori (arXiv:1712.09936), JacReg.
    """
    if probes is None and num_probes is None and (generator is not None or shared_probe):
        raise ValueError("expected num_probes=1 (or more) for the projected form, got none of it")
    with forward_pass(model, x, wrt, check_values, mode=mode, batchnorm=batchnorm) as f:
        if probes is None and num_probes is None:
            r, q = identity(f), 1
        else:
            q = 1 if num_probes is None else num_probes
            r = batch_probes(f, probes, probe, q, shared_probe, generator)
            q = r.shape[2]
        if f.mode == "forward":
            J_V = forward.jvp(f, r, chunk_size)
            values = sum_of_squares(torch.einsum("nkl,qnl->qnk", softmax_jacobian(f), J_V)) / q
        else:
            S_r = torch.einsum("nkl,nlq->nkq", softmax_jacobian(f), at_least_single(r))
            values = contract(f, S_r, chunk_size) / q
    return reduce(f, values, reduction)


def softmax_jacobian(f: ForwardPass) -> Tensor:
    """S = ∂p/∂z = diag(p) − p pᵀ, shape (n, k, l). Symmetric, and its rows sum to zero."""
    z = checks.rows_of_logits(f.output)
    checks.more_than_one_class(z)
    p = at_least_single(z).softmax(dim=1)
    return torch.diag_embed(p) - torch.einsum("nk,nl->nkl", p, p)


class JacReg(Penalty):
    """`jacreg` with its options kept: ``JacReg()(model, x)``."""

    function = staticmethod(jacreg)
