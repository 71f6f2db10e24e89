"""Loss, penalty and logits from one forward pass: the form to train with."""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from gradreg_torch import checks
from gradreg_torch.forward_pass import ForwardPass, Inputs, Wrt, forward_pass, on_cpu
from gradreg_torch.inputs import by_name
from gradreg_torch.losses import Loss, training_loss
from gradreg_torch.penalty import Penalty
from gradreg_torch.running import Model


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
    unlabelled: Inputs | None = None,
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
        For example ``SpectReg(generator=g)``. A `DoubleBack` without a loss of its own takes that
        of the objective, if it has a name.
        With ``every=k`` a step without penalty costs no more than a plain one; with ``fraction=f``
        the network runs on the part and on the rest, and only the part is differentiated twice.
    loss : {"cross_entropy", "mean_squared_error"} or callable
        The loss that is trained, (outputs, y) ↦ a scalar; by name, the batch mean.
    probes : Tensor, optional
        Of a penalty that takes them, see `draw_probes`: drawn outside, where the step is compiled.
    unlabelled : Inputs, optional
        Of the penalty *instead of* x, in a pass of its own, for semi-supervised training:
        ``torch.cat([x, u])`` for both. Not for penalties that need labels.
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
        raise TypeError(
            f"expected a penalty such as SpectReg(generator=g), got {penalty!r}; of several, give "
            "one here and add the others to the loss: frobreg(model, x), say"
        )
    options = penalty.for_loss(loss) | ({} if probes is None else {"probes": probes})
    own = {"wrt": wrt, "check_values": check_values}
    if unlabelled is not None:
        checks.no_labels(penalty)
        f = plain_pass(model, x, check_values)
        penalised = penalty(model, unlabelled, **own, **options)
    elif not (torch.is_grad_enabled() and penalty.training) or statistics_of_its_own(
        model, penalty
    ):
        f = plain_pass(model, x, check_values)
        penalised = penalty(model, x, y, **own, **options)
    elif not penalty.due():
        f, penalised = plain_pass(model, x, check_values), penalty.zero(x)
    elif penalty.fraction < 1:
        f, penalised = in_part(model, x, y, penalty, options, wrt, check_values)
    else:
        with forward_pass(model, x, wrt, check_values, **way(penalty)) as f:
            # First the penalty: in forward mode its products and the logits are one pass.
            penalised = penalty.every * penalty.value(f, x, y, **options)
    return Objective(training_loss(f, y, loss), penalised, f.output)


def way(penalty: Penalty) -> dict[str, Any]:
    """How the pass is made that loss and penalty share."""
    mode, policy = (
        penalty.options.get(k, d) for k, d in (("mode", "auto"), ("batchnorm", "batch"))
    )
    return {"mode": mode, "batchnorm": policy, "update_statistics": True}


def plain_pass(model: Callable[..., Tensor], x: Inputs, check_values: bool | None) -> ForwardPass:
    """A pass without input gradients: no dearer than any step's."""
    inputs = by_name(x)
    reads = (
        on_cpu(inputs) if check_values is None else check_values
    ) and not torch.compiler.is_compiling()
    f = ForwardPass(None, inputs, "reverse", torch.is_grad_enabled(), reads, True)
    f.accept(Model(model, x)(inputs), grad=False)
    return f


def statistics_of_its_own(model: Callable[..., Tensor], penalty: Penalty) -> bool:
    """Whether the penalty is of batch norm in another mode than the loss, or may be."""
    if penalty.options.get("batchnorm") != "eval":
        return False
    return not isinstance(model, nn.Module) or any(
        isinstance(part, nn.modules.batchnorm._BatchNorm) and part.training
        for part in model.modules()
    )


def in_part(
    model: Callable[..., Tensor],
    x: Inputs,
    y: Tensor,
    penalty: Penalty,
    options: dict[str, Any],
    wrt: Wrt,
    check_values: bool | None,
) -> tuple[ForwardPass, Tensor]:
    """The pass of the whole batch, in two parts, and the penalty of the first."""
    part = penalty.subset(x)
    settings = way(penalty) | {"batchnorm": "error"}
    with forward_pass(model, part.x, wrt, check_values, **settings) as f:
        penalised = penalty.of_part(f, part, y, **options)
    rest = Model(model, x)(by_name(part.others)) if len(part.rest) else None
    f.evaluated = part.whole(f.output, rest)
    return f, penalised
