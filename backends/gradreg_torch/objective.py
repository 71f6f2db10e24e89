"""Loss, penalty and logits from one forward pass: the form to train with."""

from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor

from gradreg_torch.forward_pass import Inputs, Wrt, forward_pass
from gradreg_torch.losses import Loss, training_loss
from gradreg_torch.penalty import Penalty


class Objective(NamedTuple):
    """What one step needs: minimise ``loss + lam * penalty``."""

    loss: Tensor
    penalty: Tensor
    logits: Tensor


def objective(
    model: Callable[..., Tensor],
    x: Inputs,
    y: Tensor,
    penalty: Penalty,
    *,
    loss: Loss = "cross_entropy",
    probes: Tensor | None = None,
    wrt: Wrt = None,
    check_values: bool | None = None,
) -> Objective:
    """(L̄, penalty, z): batch loss, penalty and logits from *one* forward pass.

    Dropout has the same mask for both terms, running statistics are updated once, and the pass is
    paid for once. λ stays yours: ``loss + lam * penalty``.

    Parameters
    ----------
    model : callable
        The network, run once, in the mode it is in.
    x : Tensor (n, …), or tuple or dict of Tensors
        Inputs; untouched.
    y : Tensor
        What the loss takes.
    penalty : Penalty
        For example ``SpectReg(generator=g)``; called as ``penalty(logits, x, y)``. A
        `DoubleBack` without a loss of its own takes that of the objective, if it has a name.
    loss : {"cross_entropy", "mean_squared_error"} or callable
        The loss that is trained, (outputs, y) ↦ a scalar; by name, the batch mean.
    probes : Tensor, optional
        Of a penalty that takes them, see `draw_probes`: drawn outside, where the step is compiled.
    wrt, check_values
        As in `frobreg`.

    Returns
    -------
    Objective
        Named tuple (loss, penalty, logits).

    Raises
    ------
    ValueError, TypeError, RuntimeError
        See `gradreg_torch.checks`; a loss that is not a scalar.
    """
    if not isinstance(penalty, Penalty):
        raise TypeError(f"expected a penalty such as SpectReg(generator=g), got {penalty!r}")
    options = penalty.for_loss(loss) | ({} if probes is None else {"probes": probes})
    passes = {name: penalty.options.get(name, default) for name, default in PASS.items()}
    with forward_pass(model, x, wrt, check_values, **passes, update_statistics=True) as f:
        # First the penalty: in forward mode its products and the logits are one pass.
        penalised = penalty(f, f.inputs, y, **options)
        trained = training_loss(f, y, loss)
        logits = f.output if f.create_graph else f.output.detach()
    return Objective(trained, penalised, logits)


PASS = {"mode": "auto", "batchnorm": "batch"}
