"""The lines of a report on a model, each the answer to a question."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import torch
from torch import Tensor

from gradreg_torch._engine.call import checked
from gradreg_torch._engine.columns import ORDER
from gradreg_torch._engine.contraction import Contraction, same_for_all
from gradreg_torch._engine.evaluation import coupling
from gradreg_torch._engine.inputs import by_name, select
from gradreg_torch._engine.model import Model
from gradreg_torch.check import cost, derivative
from gradreg_torch.check.held import Held
from gradreg_torch.check.report import Finding
from gradreg_torch.check.subject import Subject
from gradreg_torch.spectreg import SpectReg

_MODES = ("reverse", "finite_difference", "forward")


def size(one: Subject, value: float) -> Finding:
    """The penalty beside the loss."""
    if one.y is None:
        return Finding("penalty", None, f"{value:.4g}", "pass y to see it beside the loss")
    loss = float(one.plain_loss(reads=True).detach())
    text = f"{value:.4g}, the loss {loss:.4g}"
    if value == 0:
        with derivative.beside(one.parameters):
            near = one.value()
        if near == 0:
            remedy = (
                "the Jacobian is zero: look for detach() or round(), and for units or a softmax "
                "that saturate (logits of hundreds)"
            )
            return Finding("penalty", False, text, remedy)
        text += f", and {near:.3g} at other parameters: the last layer is zero, say"
        remedy = "nothing to do: the loss moves the parameters, and then the penalty acts"
        return Finding("penalty", None, text, remedy)
    equal = abs(loss) / value
    text += f": equal at λ = {equal:.3g}; a grid for λ may start at {1e-4 * equal:.1g}"
    return Finding("penalty", None, text)


def same(value: float, again: float) -> bool:
    """Equal but for the rounding of sums, whose order changes where additions are atomic."""
    return abs(value - again) <= ORDER * abs(value)


def repeatable(value: float, again: float, moved: list[str]) -> Finding:
    """Two calls from one state but for attributes that moved."""
    if value == again:
        return Finding("repeatable", True, "one seed gives one number, dropout included")
    if same(value, again) and not moved:
        off = f"{abs(value - again) / abs(value):.0e}"
        text = f"one seed gives one number but for {off}: sums are added in another order"
        return Finding("repeatable", True, text)
    text = f"one seed gives {value:.6g}, then {again:.6g}"
    if moved:
        text += f": a pass changes {_first(moved)}"
    remedy = "draw noise with torch's global generator, and keep state in buffers"
    return Finding("repeatable", False, text, remedy)


def buffers(one: Subject, held: Held) -> Finding | None:
    """The buffers that a pass writes, torch's norms apart; None where there are none."""
    one.back()
    Model(held, one.x)(by_name(one.x))
    if not (names := held.names()):
        return None
    text = f"a pass writes {_first(names)}: derivatives take what it writes as constant"
    return Finding("buffers", None, text)


def jacobian(one: Subject) -> Finding:
    """The derivative of the logits that autograd computes, against their differences in x."""
    named = by_name(one.x)
    x = {k: t.detach().clone() if torch.is_tensor(t) else t for k, t in named.items()}
    moving = {str(k): t for k, t in select(x, one.penalty.options.get("wrt")).items()}
    for t in moving.values():
        t.requires_grad_()
    model = Model(one.model, one.x)

    def logits() -> Tensor:
        one.back()
        return model(x)

    output = logits()
    g = torch.Generator("cpu").manual_seed(5)
    r = torch.randn(output.shape, generator=g, device="cpu").to(output)
    products = torch.autograd.grad(output, list(moving.values()), r, materialize_grads=True)

    def value() -> float:
        return float((logits().detach() * r).sum())

    along = derivative.directions(moving, 4)
    found = derivative.compared(value, moving, dict(zip(moving, products, strict=True)), along)
    if found.right:
        text = f"agrees with differences of the logits to {found.off:.0e}, in float64"
        return Finding("jacobian", True, text)
    if found.right is None:
        return _undecided("jacobian", "logits")
    return Finding(
        "jacobian",
        False,
        f"not the derivative of the logits: {found.off:.1%} off, so that the penalty is computed "
        "for another function",
        "look for detach() and rounding on the way from x, and for a torch.autograd.Function "
        "whose backward pass is not the derivative",
    )


def derivatives(one: Subject) -> list[Finding]:
    """The gradient against differences of the value; which parameters it reaches."""
    gradient = one.gradient(one.evaluated().penalty)
    compared = partial(derivative.compared, one.value, one.parameters, gradient)
    along = [derivative.directions(one.parameters, seed) for seed in (1, 2)]
    results = [compared(delta) for delta in along]
    off = max(r.off for r in results)
    verdicts = {r.right for r in results}
    reached = _reached(gradient)
    if False in verdicts and _saturated(one):
        text = "not decided: the softmax is saturated, and 1 − p is as small as rounding"
        return [Finding("gradient", None, text, "try logits of about 1"), reached]
    if False in verdicts:
        wrong = [name for name, d in along[0].items() if compared({name: d}).right is False]
        return [_wrong_gradient(off, wrong), reached]
    if None in verdicts:
        return [_undecided("gradient", "value"), reached]
    text = f"agrees with differences of the penalty's value to {off:.0e}, in float64"
    return [Finding("gradient", True, text), reached]


def _saturated(one: Subject) -> bool:
    """Whether the penalty is so small that R is rounding: R is of size 1 but for its cancellation.

    Where p is 1 but for 1e-13, p − y has fewer than four digits in float64.
    """
    options = one.penalty.options
    own = {name: options[name] for name in ("wrt", "batch", "batchnorm") if name in options}
    plain = SpectReg(generator=torch.Generator(one.first.device).manual_seed(0), **own)
    try:
        scale = replace(one, penalty=plain).value()
    except ValueError:  # of one logit, which has no softmax
        return False
    return one.value() < (1024 * torch.finfo(torch.float64).eps) ** 2 * scale


def _undecided(name: str, of: str) -> Finding:
    """Return the finding where differences depend on their step."""
    text = f"not decided: a kink is near, and differences of the {of} depend on their step"
    return Finding(name, None, text, "try another batch, or fewer examples")


def _first(names: list[str]) -> str:
    """A few of them."""
    return ", ".join(names[:6]) + (", …" if len(names) > 6 else "")


def _wrong_gradient(off: float, names: list[str]) -> Finding:
    """Return the finding for a backward pass with a wrong derivative of its own."""
    shown = _first(names) or "all parameters together"
    return Finding(
        "gradient",
        False,
        f"not the derivative of the penalty's value: {off:.0%} off, at {shown}",
        "a detach(), a torch.autograd.Function or a hook before these makes a constant of what "
        "depends on x or on parameters: save inputs, not intermediates; or pass "
        "mode='finite_difference'",
    )


def _reached(gradient: dict[str, Tensor]) -> Finding:
    """Parameters that the penalty trains, and those it does not."""
    out = [name for name, g in gradient.items() if not g.any()]
    text = f"the penalty trains {len(gradient) - len(out)} of {len(gradient)}"
    if not out:
        return Finding("parameters", True, text)
    text += f", not {_first(out)}"
    if len(out) == len(gradient):
        return Finding("parameters", False, text, "the Jacobian depends on none of them")
    return Finding(
        "parameters",
        None,
        text
        + " (if all later layers are piecewise linear, the Jacobian does not depend on a bias)",
    )


def examples(one: Subject) -> Finding:
    """Whether examples depend on each other."""
    one.back()
    options = one.penalty.options
    wrt, batch = options.get("wrt"), options.get("batch")
    call = checked(one.model, one.x, Contraction(), True, False, wrt=wrt, batch=batch)
    coupled, side = coupling(call)
    if not coupled:
        return Finding("examples", True, "the logits of an example depend on its own x alone")
    policy = options.get("batchnorm", "batch")
    R = one.penalty.contraction(one.y, options)
    # A few random signs may be the same in all of two examples, and differ in the next step.
    same = R.same_for_all if R.draws else same_for_all(R.columns(side))
    if policy == "batch" and same:
        return Finding(
            "examples",
            False,
            "the logits of an example depend on other examples, and R is the same for all: the "
            "derivatives cancel",
            "pass batchnorm='eval', or an R that differs from example to example",
        )
    text = "the logits of an example depend on other examples, as batch norm makes them in training"
    if policy == "eval":
        return Finding("examples", None, f"{text}; batchnorm='eval' penalises each example alone")
    remedy = "the penalty is of the whole batch; batchnorm='eval' penalises each example alone"
    return Finding("examples", None, text, f"{remedy} (where the cause is torch's batch norm)")


def costs(one: Subject) -> Finding:
    """Time and memory of a step of each mode, relative to a plain step."""
    steps: dict[str, Callable[[], object]] = {"plain": one.plain_step}
    one.plain_step()  # warm, as the others are then
    refused = []
    for mode in _MODES:
        try:
            one.step(mode)
            steps[mode] = partial(one.step, mode)
        except (ValueError, TypeError, RuntimeError):
            refused.append(mode)
    device = one.first.device
    time = cost.seconds(steps, device)
    memory = {name: max(1, cost.peak_bytes(step, device)) for name, step in steps.items()}
    text = "plain steps of time (memory): " + ", ".join(
        f"{mode} {time[mode] / time['plain']:.1f} ({memory[mode] / memory['plain']:.1f})"
        for mode in list(steps)[1:]
    )
    return Finding("cost", None, text + (f"; refused: {', '.join(refused)}" if refused else ""))
