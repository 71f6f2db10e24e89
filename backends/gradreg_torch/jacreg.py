"""JacReg: the squared Frobenius norm of the Jacobian of the class probabilities."""

import torch
from torch import Tensor

from gradreg_torch import checks
from gradreg_torch.contraction import at_least_single, contract, reduce
from gradreg_torch.forward_pass import ForwardPass, Inputs, ModelOrLogits, Wrt, forward_pass
from gradreg_torch.penalty import Penalty
from gradreg_torch.probes import batch_probes


def jacreg(
    model: ModelOrLogits,
    x: Inputs,
    *,
    probes: Tensor | None = None,
    probe: str = "gaussian",
    num_probes: int | None = None,
    shared_probe: bool = False,
    generator: torch.Generator | None = None,
    wrt: Wrt = None,
    reduction: str = "mean",
    chunk_size: int | None = None,
    check_values: bool | None = None,
) -> Tensor:
    """‖∂p/∂x‖²_F = ‖JᵀR‖²_F with R = S = ∂p/∂z = diag(p) − p pᵀ; projected, R = S r / √q.

    S depends on the parameters through p and is never detached: it takes part in the gradient.

    Parameters
    ----------
    model, x, wrt, reduction, chunk_size, check_values
        As in `frobreg`; the model returns *logits* (n, k), not probabilities.
    probes, probe, shared_probe, generator
        As in `spectreg`, for the projected form.
    num_probes : int, optional
        None, the default, is the exact form: m vector-Jacobian products.

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
    with forward_pass(model, x, wrt, check_values) as f:
        S = softmax_jacobian(f)
        if probes is None and num_probes is None:
            values = contract(f, S, chunk_size)
        else:
            q = 1 if num_probes is None else num_probes
            r = batch_probes(f.logits, probes, probe, q, shared_probe, generator)
            S_r = torch.einsum("nkl,nlq->nkq", S, r.to(S.dtype))
            values = contract(f, S_r, chunk_size) / r.shape[2]
    return reduce(values, reduction)


def softmax_jacobian(f: ForwardPass) -> Tensor:
    """S = ∂p/∂z = diag(p) − p pᵀ, shape (n, k, l). Symmetric, and its rows sum to zero."""
    z = checks.rows_of_logits(f.output)
    checks.more_than_one_class(z)
    p = at_least_single(z).softmax(dim=1)
    return torch.diag_embed(p) - torch.einsum("nk,nl->nkl", p, p)


class JacReg(Penalty):
    """`jacreg` with its options kept: ``JacReg()(model, x)``."""

    function = staticmethod(jacreg)
