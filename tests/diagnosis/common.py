"""What the tests of the diagnosis share: functions of J, and what is said of a function."""

import torch

from gradreg_verify.claims.target import target_of
from gradreg_verify.diagnosis.computes import computed
from gradreg_verify.diagnosis.observe import observations
from gradreg_verify.mistakes.torch.entries import rows, squares, vjp

MEAN = "It computes the batch mean of "
RIGHT_VALUE = "Its value is the declared one on all 22 networks tried"


def target(function, kind="frobreg", **declared):
    return target_of(function, kind, "torch", "cpu", 4, 5.0, declared)


def said(function, kind="frobreg", **declared):
    """What the function computes, in the words of the diagnosis."""
    one = target(function, kind, **declared).declared
    return computed(observations(one), one.declaration)


def J_of(model, x, create_graph=True):
    x = x.detach().requires_grad_()
    return rows(model(x), x, create_graph)


def each(model, x):
    """‖J‖² of every example."""
    return squares(J_of(model, x))


def projected(model, x, r, of=lambda z: z):
    """Σ_b ‖Jᵀr‖² / B."""
    x = x.detach().requires_grad_()
    z = of(model(x))
    return squares(vjp(z, x, r(z))).mean()


def probability_minus_label(model, x, y, detach):
    x = x.detach().requires_grad_()
    z = model(x)
    p = z.softmax(1).detach() if detach else z.softmax(1)
    r = p - torch.nn.functional.one_hot(y, z.shape[1])
    return squares(torch.autograd.grad(z, x, r, create_graph=True)[0]).mean()
