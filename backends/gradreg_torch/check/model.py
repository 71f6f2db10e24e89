"""`check_model`: is this penalty right on this model, and how much does it cost?"""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from gradreg_torch._engine import attributes
from gradreg_torch._engine.float64 import widest
from gradreg_torch._engine.inputs import Inputs, differentiated
from gradreg_torch.check import derivative, effects, findings
from gradreg_torch.check.held import Held
from gradreg_torch.check.report import Finding, ModelReport
from gradreg_torch.check.subject import Subject
from gradreg_torch.losses import Loss
from gradreg_torch.penalty import Penalty
from gradreg_torch.spectreg import SpectReg


def check_model(
    model: Callable[..., Any],
    x: Inputs,
    y: Tensor | None = None,
    penalty: Penalty | None = None,
    *,
    loss: Loss = "cross_entropy",
) -> ModelReport:
    """Check a penalty on your own model and batch before training.

    A check takes as long as 100 to 500 plain training steps, or 1000 for a tiny network. It
    compares the penalty's parameter gradient with differences of the penalty's value, in float64 if
    the model runs in it. The report says which examples depend on each other, which parameters the
    penalty trains, and how many plain steps a step costs in each mode. The check restores
    parameters, buffers, gradients, plain attributes and random states.

    Parameters
    ----------
    model : callable
        The model as you train it: in training mode, on its device, in its wrapper.
    x : Tensor (n, …), or tuple or dict of Tensors
        A batch of inputs; eight examples are enough.
    y : Tensor, optional
        Labels. Without labels the report has no loss, and the penalty must not need labels.
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
        `penalty` is no penalty, or needs labels and got none; the model has no parameters to train;
        the loss does not accept the labels.
    """
    penalty = _penalty(penalty, x, y)
    one = Subject(model, x, y, penalty, loss)
    one.require_trainable()
    before = effects.state(one.modules, penalty.generator)
    places = attributes.places(model, one.modules)
    with torch.enable_grad(), effects.kept(one.modules, penalty.generator, one.first) as back:
        try:
            found = _findings(replace(one, back=back), places)
        finally:
            attributes.put_back(places)
    changed = effects.changed(before, effects.state(one.modules, penalty.generator))
    changed += attributes.changed(places)
    found.append(
        Finding("unchanged", False, f"changed: {', '.join(changed)}", "look for state in the model")
        if changed
        else Finding("unchanged", True, "parameters, buffers, gradients, random states: as before")
    )
    name = getattr(model, "__name__", type(model).__name__)
    dtype = str(one.first.dtype).removeprefix("torch.")
    shape = tuple(one.first.shape)
    subject = f"{type(penalty).__name__} on {name}, x {shape} {dtype} on {one.first.device}"
    return ModelReport(subject, tuple(found))


def _penalty(penalty: Penalty | None, x: Inputs, y: Tensor | None) -> Penalty:
    """Return the penalty given, or SpectReg."""
    if penalty is None:
        generator = torch.Generator(differentiated(x, None).device).manual_seed(0)
        return SpectReg(generator=generator)
    if not isinstance(penalty, Penalty):
        raise TypeError(f"expected a penalty such as SpectReg(generator=g), got {penalty!r}")
    if penalty.needs_labels and y is None:
        raise TypeError(
            f"expected labels y for {type(penalty).__name__}, got None; "
            "pass check_model(model, x, y)"
        )
    return penalty


def _findings(one: Subject, places: list[attributes.Place]) -> list[Finding]:
    """The findings in order; a model on which the penalty is refused gets no further questions."""
    try:
        value, again = one.value(), one.value()
    except (ValueError, TypeError, RuntimeError, AttributeError) as error:
        return [Finding("penalty", False, f"refused: {error}", "do as the message says")]
    moved, back = attributes.changed(places), one.back  # as training steps leave it

    def all_back() -> None:
        back()
        attributes.put_back(places)

    one = replace(one, back=all_back)
    repeats = findings.same(value, again) or findings.same(one.value(), one.value())
    found = [findings.size(one, value), findings.repeatable(value, again, moved if repeats else [])]
    if not repeats:  # noise that no comparison survives
        return found
    one.back()
    try:
        with derivative.in_float64(one.modules):
            double = one.in_float64()
            held = Held(double.model)
            if written := findings.buffers(double, held):
                found.append(written)
                double = replace(double, model=held)
            with derivative.away_from_zero(double.parameters, value):
                found += [findings.jacobian(double), *findings.derivatives(double)]
    except (RuntimeError, TypeError, ValueError) as error:
        text = f"not compared: in float64 the model raises {str(error).splitlines()[0]}"
        has = widest(one.first.device) == torch.float64
        remedy = "let the model run in float64 here" if has else "check model and x on the CPU"
        found.append(Finding("gradient", None, text, remedy))
    with derivative.away_from_zero(one.parameters, value):
        found.append(findings.examples(one))
    return [*found, findings.costs(one)]
