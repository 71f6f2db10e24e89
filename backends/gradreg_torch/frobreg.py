"""FrobReg: the exact squared Frobenius norm of the logits Jacobian."""

from typing import Unpack

from torch import Tensor

from gradreg_torch._engine import Identity, Inputs, ModelOrLogits, Options, evaluate
from gradreg_torch.penalty import Penalty


def frobreg(model: ModelOrLogits, x: Inputs, **options: Unpack[Options]) -> Tensor:
    """Compute FrobReg, ‖J‖²_F = Σ_ki J[k, i]² = ‖JᵀR‖²_F with R = I, by m vector-Jacobian products.

    In forward mode it is ‖JV‖²_F with V = I: i Jacobian-vector products, the cheaper where i < m.

    Parameters
    ----------
    model : callable or Tensor
        The network, or the logits it gave for this x (which then must require grad).
    x : Tensor (n, …), or tuple or dict of Tensors
        Inputs, passed as ``model(x)``, ``model(*x)`` or ``model(**x)``.

    Other Parameters
    ----------------
    mode : {"auto", "reverse", "forward", "finite_difference", "one_sided_difference"}
        How products with J are computed (docs/modes.md). "auto" is reverse mode; where the model
        cannot be differentiated twice, finite differences, with a warning.
    batchnorm : {"batch", "eval", "error"}
        What batch norm in training mode does, which couples the examples of a batch. "batch": the
        derivatives are those of the whole batch, ‖∂Σ_b r_bᵀz_b/∂x_c‖² for example c; refused where
        R is the same for all examples, as it is here: they cancel. "eval": its running statistics,
        a function of every example alone. "error": refused.
    wrt : name(s) or position(s), optional
        Which of several inputs to differentiate.
    reduction : {"mean", "sum", "none"}
        Over the batch; "none" returns one value per example.
    chunk_size : int, optional
        How many of the m products are computed at once (by vmap); 1 is a plain loop. None is a loop
        on the CPU, and all of them on an accelerator or compiled. Beyond 20 chunks the backward
        pass computes the graphs of the products again, which bounds memory for half the time more.
    check_values : bool, optional
        Whether to look for NaN, infinity and labels out of range; None is on the CPU only.
    batch : LongTensor (N,), optional
        The example that each row of x belongs to, where x has N rows and the logits n, one a graph,
        as in PyTorch Geometric. An example is then all its rows. No forward mode.

    Returns
    -------
    Tensor () or (n,)
        No ½, no square root. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        See `gradreg_torch.checks`: every message says what to do.

    See Also
    --------
    gradreg_ref.frobreg : the same number from an explicit Jacobian.

    References
    ----------
    Varga, Csiszárik, Zombori (arXiv:1712.09936), FrobReg.
    """
    return evaluate(model, x, Identity(), **options).penalty


class FrobReg(Penalty):
    """`frobreg` as a module that keeps its options: ``FrobReg(chunk_size=4)(model, x)``."""

    R = Identity
