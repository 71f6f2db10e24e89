"""Onehot: the squared input gradient of one logit, that of the true class."""

import torch
from torch import Tensor

from gradreg_torch import checks
from gradreg_torch.contraction import contract, reduce
from gradreg_torch.forward_pass import Inputs, ModelOrLogits, Wrt, forward_pass
from gradreg_torch.penalty import Penalty


def onehot(
    model: ModelOrLogits,
    x: Inputs,
    y: Tensor,
    *,
    mode: str = "auto",
    batchnorm: str = "batch",
    wrt: Wrt = None,
    reduction: str = "mean",
    check_values: bool | None = None,
) -> Tensor:
    """‖Jᵀe_y‖² = Σ_i J[y, i]², that is ‖JᵀR‖²_F with R = e_y.

    *Random onehot*, √m·e_c with c uniform on all m classes, is a law of probes:
    ``spectreg(model, x, probe="onehot", generator=g)``. Unlike this one it is unbiased for ‖J‖²_F.

    Parameters
    ----------
    model, x, mode, batchnorm, wrt, reduction, check_values
        As in `frobreg`; there is no forward mode; the model returns logits (n, k).
    y : Tensor (n,)
        Labels in [0, m), of an integer dtype.

    Returns
    -------
    Tensor () or (n,)
        No ½, and no factor m. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        See `gradreg_torch.checks`: every message says what to do.

    See Also
    --------
    gradreg_ref.onehot : the same number from an explicit Jacobian.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), Onehot and Random onehot.
    """
    checks.not_forward(mode)
    with forward_pass(model, x, wrt, check_values, mode=mode, batchnorm=batchnorm) as f:
        z = checks.rows_of_logits(f.output)
        e_y = torch.nn.functional.one_hot(checks.labels(y, z, f.check_values), z.shape[1])
        values = contract(f, e_y.to(z.dtype)[:, :, None])
    return reduce(f, values, reduction)


class Onehot(Penalty):
    """`onehot` with its options kept: ``Onehot()(model, x, y)``."""

    function = staticmethod(onehot)
    takes_labels = True
