"""`check_model`: is this penalty right on this model, and what does it cost?"""

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import Any

import torch
from torch import Tensor

from gradreg_torch._engine.call import checked
from gradreg_torch._engine.contraction import Contraction
from gradreg_torch._engine.evaluation import couples_examples
from gradreg_torch._engine.inputs import Inputs, by_name, first_of, select
from gradreg_torch.check import cost, derivative, effects
from gradreg_torch.check.report import Finding, ModelReport
from gradreg_torch.check.subject import Subject
from gradreg_torch.losses import Loss
from gradreg_torch.penalty import Penalty
from gradreg_torch.spectreg import SpectReg

MODES = ("reverse", "finite_difference", "forward")


def check_model(
    model: Callable[..., Any],
    x: Inputs,
    y: Tensor | None = None,
    penalty: Penalty | None = None,
    *,
    loss: Loss = "cross_entropy",
) -> ModelReport:
    """Check a penalty on your own model and batch before training.

    A check takes as long as 100 to 500 training steps. It compares the penalty's parameter gradient
    with differences of the penalty's value (in float64, where the model runs in it). It says which
    examples see each other and which parameters the penalty trains, and measures each mode in plain
    training steps. Parameters, buffers, gradients and random states are afterwards what they were.

    Parameters
    ----------
    model : callable
        As it will be trained: in training mode, on its device, in its wrapper.
    x : Tensor (n, …), or tuple or dict of Tensors
        A batch of inputs; eight examples do.
    y : Tensor, optional
        Labels. Without them there is no loss to compare with, and no penalty that needs labels.
    penalty : Penalty, optional
        By default ``SpectReg`` with a generator of its own.
    loss : {"cross_entropy", "mean_squared_error"} or callable
        The loss to train with, as in `objective`.

    Returns
    -------
    ModelReport
        ``report.ok`` for a test, ``print(report)`` for a table with a remedy for each fault.

    Raises
    ------
    TypeError, ValueError
        A penalty that is none, or one that needs labels without y; a model without parameters to
        train; labels that the loss does not take.
    """
    penalty = _penalty(penalty, x, y)
    one = Subject(model, x, y, penalty, loss)
    one.require_trainable()
    before = effects.state(one.modules, penalty.generator)
    with torch.enable_grad(), effects.kept(one.modules, penalty.generator, one.first) as back:
        findings = _findings(replace(one, back=back))
    changed = effects.changed(before, effects.state(one.modules, penalty.generator))
    findings.append(
        Finding("unchanged", False, f"changed: {', '.join(changed)}", "look for state in the model")
        if changed
        else Finding("unchanged", True, "parameters, buffers, gradients, random states")
    )
    name = getattr(model, "__name__", type(model).__name__)
    dtype = str(one.first.dtype).removeprefix("torch.")
    shape = tuple(one.first.shape)
    subject = f"{type(penalty).__name__} on {name}, x {shape} {dtype} on {one.first.device}"
    return ModelReport(subject, tuple(findings))


def _penalty(penalty: Penalty | None, x: Inputs, y: Tensor | None) -> Penalty:
    """Return the penalty given, or SpectReg."""
    if penalty is None:
        device = first_of(select(by_name(x), None)).device
        return SpectReg(generator=torch.Generator(device).manual_seed(0))
    if not isinstance(penalty, Penalty):
        raise TypeError(f"expected a penalty such as SpectReg(generator=g), got {penalty!r}")
    if penalty.takes_labels and y is None:
        raise TypeError(f"expected labels y for {penalty}, got None; pass check_model(model, x, y)")
    return penalty


def _findings(one: Subject) -> list[Finding]:
    """In order; nothing else is asked of a model on which the penalty is refused."""
    try:
        value, again = float(one.value().detach()), float(one.value().detach())
    except (ValueError, TypeError, RuntimeError) as error:
        return [Finding("penalty", False, f"refused: {error}", "do as the message says")]
    findings = [_size(one, value), _repeatable(value, again)]
    if value != again:  # a state or noise that no comparison survives
        return findings
    try:
        with derivative.in_float64(one.modules):
            double = one.in_float64()
            # At a last layer of zeros every derivative is zero: nothing is shown by it.
            with derivative.beside(double.parameters) if value == 0 else nullcontext():
                findings += _derivatives(double)
    except (RuntimeError, TypeError, ValueError) as error:
        text = f"not compared: in float64 the model raises {str(error).splitlines()[0]}"
        findings.append(Finding("gradient", None, text, "let the model run in float64 here"))
    return [*findings, _examples(one), _costs(one)]


def _size(one: Subject, value: float) -> Finding:
    """The penalty beside the loss."""
    if one.y is None:
        return Finding("penalty", None, f"{value:.4g}", "pass y to see it beside the loss")
    loss = float(one.plain_loss(reads=True).detach())
    text = f"{value:.4g} beside a loss of {loss:.4g}"
    if value == 0:
        with derivative.beside(one.parameters):
            near = float(one.value().detach())
        if near == 0:
            remedy = "the Jacobian is zero: look for detach() or round()"
            return Finding("penalty", False, text, remedy)
        text += f", and {near:.3g} with other parameters: a last layer of zeros, say"
        return Finding("penalty", None, text, "the loss moves it first; then the penalty is there")
    text += f": equal at λ = {loss / value:.3g}; a grid for λ may start at 1e-4 of that"
    return Finding("penalty", None, text)


def _repeatable(value: float, again: float) -> Finding:
    """Two calls from one state."""
    if value == again:
        return Finding("repeatable", True, "one seed gives one number, dropout included")
    return Finding(
        "repeatable",
        False,
        f"one seed gives {value:.6g}, then {again:.6g}",
        "draw noise with torch's global generator, and keep state in buffers",
    )


def _derivatives(one: Subject) -> list[Finding]:
    """The gradient against differences of the value; which parameters it reaches."""
    gradient, parameters = one.gradient(), one.parameters

    def value() -> float:
        return float(one.value().detach())

    along = [derivative.directions(parameters, seed) for seed in (1, 2)]
    results = [derivative.compared(value, parameters, gradient, delta) for delta in along]
    off = max(r.off for r in results)
    verdicts = {r.right for r in results}
    reached = _reached(gradient)
    if False in verdicts:
        wrong = [
            name
            for name, d in along[0].items()
            if derivative.compared(value, parameters, gradient, {name: d}).right is False
        ]
        return [_wrong_gradient(off, wrong), reached]
    if None in verdicts:
        text = "not decided: kinks lie too close to say; differences of the value disagree"
        return [Finding("gradient", None, text, "try another batch, or fewer examples"), reached]
    text = f"that of the penalty's value: {off:.0e} off along random directions, in float64"
    return [Finding("gradient", True, text), reached]


def _wrong_gradient(off: float, names: list[str]) -> Finding:
    """Return the finding for a backward pass with a wrong derivative of its own."""
    shown = ", ".join(names[:6]) + (", …" if len(names) > 6 else "")
    return Finding(
        "gradient",
        False,
        f"not that of the penalty's value: {off:.0%} off, at {shown or 'all parameters together'}",
        "a torch.autograd.Function or a hook before these has a backward pass whose own "
        "derivative is wrong: save inputs, not intermediates; or pass mode='finite_difference'",
    )


def _reached(gradient: dict[str, Tensor]) -> Finding:
    """Parameters that the penalty trains, and those it does not."""
    out = [name for name, g in gradient.items() if not g.any()]
    text = f"the penalty trains {len(gradient) - len(out)} of {len(gradient)}"
    if not out:
        return Finding("parameters", True, text)
    text += f", not {', '.join(out[:6])}" + (", …" if len(out) > 6 else "")
    if len(out) == len(gradient):
        return Finding("parameters", False, text, "the Jacobian depends on none of them")
    return Finding(
        "parameters",
        None,
        text + " (the Jacobian does not depend on a bias if all that follows is piecewise linear)",
    )


def _examples(one: Subject) -> Finding:
    """Whether examples see each other."""
    one.back()
    wrt, batch = one.penalty.options.get("wrt"), one.penalty.options.get("batch")
    call = checked(one.model, one.x, Contraction(), False, wrt=wrt, batch=batch)
    if not couples_examples(call):
        return Finding("examples", True, "each example's logits depend on its own x alone")
    policy = one.penalty.options.get("batchnorm", "batch")
    return Finding(
        "examples",
        None,
        f"examples see each other (batch norm in training mode, or the like), under {policy!r}",
        "the penalty is of the whole batch; batchnorm='eval' is that of each example alone, "
        "where the coupling is torch's batch norm",
    )


def _costs(one: Subject) -> Finding:
    """A step of each mode in plain steps."""
    steps: dict[str, Callable[[], object]] = {}
    refused = []
    for mode in MODES:
        try:
            one.step(mode)
            steps[mode] = partial(one.step, mode)
        except (ValueError, TypeError, RuntimeError):
            refused.append(mode)
    found = cost.in_plain_steps(one.plain_step, steps, one.first.device)
    text = ", ".join(f"{mode} {ratio:.1f}" for mode, ratio in found.items()) + " plain steps"
    return Finding("cost", None, text + (f"; refused: {', '.join(refused)}" if refused else ""))
