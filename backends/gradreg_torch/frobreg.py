"""FrobReg: the exact squared Frobenius norm of the logits Jacobian."""

from typing import Unpack

from torch import Tensor

from gradreg_torch._engine import Identity, Inputs, ModelOrLogits, Options, evaluate
from gradreg_torch.penalty import Penalty


def frobreg(model: ModelOrLogits, x: Inputs, **options: Unpack[Options]) -> Tensor:
    """Compute FrobReg, ‖J‖²_F = Σ_ki J[k, i]² = ‖JᵀR‖²_F with R = I, by m vector-Jacobian products.

    Forward mode computes ‖JV‖²_F with V = I by i Jacobian-vector products: cheaper if i < m.

    Parameters
    ----------
    model : callable or Tensor
        The network, or its logits at this x (x must then require grad).
    x : Tensor (n, …), or tuple or dict of Tensors
        Inputs, passed as ``model(x)``, ``model(*x)`` or ``model(**x)``.

    Other Parameters
    ----------------
    mode : {"auto", "reverse", "forward", "finite_difference", "one_sided_difference"}
        How products with J are computed (docs/modes.md). "auto" uses reverse mode, or
        finite differences with a warning if the model cannot be differentiated twice.
    batchnorm : {"batch", "eval", "error"}
        What to compute if batch norm in training mode couples the examples of a batch. "batch":
        derivatives of the whole batch, ‖∂Σ_b r_bᵀz_b/∂x_c‖² for example c; raises an error if R is
        the same for all examples, as here, since the derivatives cancel. "eval": uses running
        statistics, so that every example stands alone. "error": raises an error.
    wrt : name(s) or position(s), optional
        Which of several inputs to differentiate.
    reduction : {"mean", "sum", "none"}
        Mean or sum over the batch; "none" returns one value per example.
    chunk_size : int, optional
        How many of the m products are computed at once (by vmap); 1 is a plain loop. None is a loop
        on the CPU, and all at once on an accelerator or in a compiled step. Beyond 20 chunks the
        backward pass computes the graphs of the products again: memory stays bounded, and a step
        takes half as much time again.
    check_values : bool, optional
        Whether to look for NaN, infinity and labels out of range. None looks at every step on the
        CPU; on an accelerator it looks at steps 1, 2, 4, 8, … of a model.
    batch : LongTensor (N,), optional
        The example (graph) that each row of x belongs to, as in PyTorch Geometric: x has N rows,
        and the logits have n, one per graph. Not in forward mode.

    Returns
    -------
    Tensor () or (n,)
        Without a factor ½, without a square root. In float32 for a float16 or bfloat16 network.

    Raises
    ------
    ValueError, TypeError, RuntimeError
        Bad input. Every message says what was expected and what to do.

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
