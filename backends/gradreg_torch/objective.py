"""Loss, penalty and logits from one forward pass: the form to train with."""

from collections.abc import Callable
from typing import Any, NamedTuple

from torch import Tensor

from gradreg_torch import _arguments
from gradreg_torch._engine import distributed
from gradreg_torch._engine.batch_norm import uses_batch_statistics
from gradreg_torch._engine.call import reads_values
from gradreg_torch._engine.graph import is_functional
from gradreg_torch._engine.inputs import Inputs, Wrt, by_name, first_of, in_form, select, stays
from gradreg_torch._engine.model import Model, copied, forget_casts, run
from gradreg_torch._engine.outputs import require_finite_pass, require_output
from gradreg_torch._engine.sums import scaled
from gradreg_torch.losses import Loss, training_loss
from gradreg_torch.penalty import Kept, Penalty


class Objective(NamedTuple):
    """Loss, penalty and logits of one step: minimise ``loss + lam * penalty``."""

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
    batch: Tensor | None = None,
) -> Objective:
    """Return (L̄, penalty, z): batch loss, penalty and logits from *one* forward pass.

    Both terms use the same dropout mask, and running statistics are updated once. You multiply the
    penalty by λ: ``loss + lam * penalty``.

    Parameters
    ----------
    model : callable
        The network. It runs once, in its current mode. At the first step a trial may run it again,
        without a trace in buffers, attributes and random states.
    x : Tensor (n, …), or tuple or dict of Tensors
        Inputs. They are not changed.
    y : Tensor
        Labels or targets of the loss.
    penalty : Penalty
        For example ``SpectReg(generator=g)``. A `DoubleBack` without ``loss=`` uses the loss of
        the objective, if it is given by name. With ``every=k`` a step without penalty runs the
        network once, and computes no product with its Jacobian. With ``fraction=f`` the network
        runs on the chosen examples and on the rest, and only the chosen examples are differentiated
        twice.
    loss : {"cross_entropy", "mean_squared_error"} or callable
        The training loss, (outputs, y) ↦ a scalar. By name it is the batch mean.
    probes : Tensor, optional
        Probes for a penalty that takes them. For a compiled step draw them outside (`draw_probes`).
    unlabelled : Inputs, optional
        Inputs of the penalty *instead of* x, for semi-supervised training; ``torch.cat([x, u])``
        penalises both. They take a second pass. Not for penalties that need labels.
    wrt, check_values, batch
        As in `frobreg`.

    Returns
    -------
    Objective
        Named tuple (loss, penalty, logits).

    Raises
    ------
    ValueError, TypeError, RuntimeError
        Bad input, or a loss that is not a scalar. Every message says what to do.
    """
    if not isinstance(penalty, Penalty):
        raise TypeError(
            f"expected a penalty such as SpectReg(generator=g), got {penalty!r}; if you have "
            "several, pass one here and add the others to the loss, for example frobreg(model, x)"
        )
    named = {"probes": probes, "wrt": wrt, "check_values": check_values, "batch": batch}
    options = {name: value for name, value in named.items() if value is not None}
    options |= penalty.for_loss(loss)
    kept = penalty.options | options
    ragged = kept.get("batch") is not None
    if unlabelled is not None:
        _arguments.for_unlabelled(penalty, ragged)
    own_wrt: Any = kept.get("wrt")
    looked = False  # for NaN in the pass
    at_eval = kept.get("batchnorm") == "eval" and uses_batch_statistics(model)
    if unlabelled is not None or at_eval or not penalty.in_training():  # a pass for the loss alone
        own_wrt = own_wrt if unlabelled is None else [*by_name(x)]
        output = _plain_pass(model, x, own_wrt, ragged)
        if unlabelled is None:
            penalised, reads = penalty.called(model, x, y, kept)
        else:
            penalised, reads = penalty.called(model, unlabelled, None, kept)
    elif not penalty.due(kept):
        output = _plain_pass(model, x, own_wrt, ragged)
        penalised, reads = penalty.zero(x, kept), False
    elif penalty.fraction < 1:
        output, penalised, reads = _in_part(model, x, y, penalty, kept)
    else:
        value, output, reads = penalty.evaluated(model, x, y, kept, update=True)
        penalised, looked = scaled(value, penalty.every), True
    reads = reads or reads_values([output], check_values, is_functional())
    if reads and not looked:
        require_finite_pass(select(by_name(x), own_wrt), output, model)
    return Objective(training_loss(output, y, loss, reads), penalised, output)


def _plain_pass(
    model: Callable[..., Tensor],
    x: Inputs,
    wrt: Wrt,
    ragged: bool,
) -> Tensor:
    """Return the output of a pass without input gradients, at the cost of a plain step's pass."""
    forget_casts()
    named = by_name(x)
    differentiated = select(named, wrt)
    # The model may work in place, and x.grad stays untouched.
    copies = {k: t if stays(t) else t.detach() for k, t in differentiated.items()}
    args, kwargs = in_form(x, named | copied(copies))
    rows = None if ragged else first_of(differentiated).shape[0]
    return require_output(run(model, args, kwargs), rows, grad=False)


def _in_part(
    model: Callable[..., Tensor], x: Inputs, y: Tensor, penalty: Penalty, kept: Kept
) -> tuple[Tensor, Tensor, bool]:
    """The output of the whole batch, from two passes, the penalty of the part that is drawn, and
    whether checks that read values ran.
    """
    distributed.require_no_join(Model(model, x).parts)
    part = penalty.subset(model, x, kept)
    # In each pass batch norm would have statistics of its own.
    kept = kept | {"batchnorm": "error"}
    value, output, reads = penalty.of_part(model, part, y, kept, update=True)
    rest = Model(model, x)(by_name(part.others)) if len(part.rest) else None
    return part.whole(output, rest), value, reads
