"""What the diagnosis says of wrong penalties: one function of a wrong kind each."""

import numpy as np
import pytest
import torch

from gradreg_verify.diagnosis.diagnose import computed, observations
from gradreg_verify.diagnosis.factors import fit, in_words, number
from gradreg_verify.mistakes.torch.entries import rows, squares, vjp
from gradreg_verify.subject.target import target_of


def target(function, kind="frobreg", **declared):
    return target_of(function, kind, "torch", "cpu", 4, 5.0, declared)


def said(function, kind="frobreg", **declared):
    """What the function computes, in the words of the diagnosis."""
    one = target(function, kind, **declared).declared
    return computed(list(observations(one)), one.declaration)


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


MEAN = "It computes the batch mean of "
FROBREG = {
    "It computes ½ × the batch mean of FrobReg, ‖J‖².": lambda f, x: each(f, x).mean() / 2,
    "It computes -2 × the batch mean of FrobReg, ‖J‖².": lambda f, x: -2 * each(f, x).mean(),
    "It computes the batch sum of FrobReg, ‖J‖².": lambda f, x: each(f, x).sum(),
    "It computes 1/B² × the batch sum (as of the loss of a batch mean) of FrobReg, ‖J‖².": (
        lambda f, x: each(f, x).sum() / len(x) ** 2
    ),
    "It computes 1/d (d input coordinates) × the batch mean of FrobReg, ‖J‖².": (
        lambda f, x: each(f, x).mean() / x[0].numel()
    ),
    "It computes 1/m × the batch mean of FrobReg, ‖J‖².": (
        lambda f, x: J_of(f, x).square().sum(2).mean()
    ),
    MEAN + "‖J‖, the norm and not its square.": (lambda f, x: (each(f, x) + 1e-300).sqrt().mean()),
    MEAN + "Σ |J|, absolute values.": lambda f, x: J_of(f, x).abs().sum((1, 2)).mean(),
    MEAN + "‖Jᵀ1 (the gradient of the sum of the logits)‖².": (
        lambda f, x: projected(f, x, torch.ones_like)
    ),
    MEAN + "JacReg, ‖∂p/∂x‖².": lambda f, x: each(
        torch.nn.Sequential(f, torch.nn.Softmax(1)), x
    ).mean(),
    MEAN + "‖J‖² with one factor detached.": lambda f, x: one_factor_detached(J_of(f, x)),
    MEAN + "FrobReg, ‖J‖²; but its gradient is zero.": (
        lambda f, x: squares(J_of(f, x, False)).mean() + 0 * f(x).sum()
    ),
    MEAN + "FrobReg, ‖J‖²; but its gradient is ¼ × that of its value.": (
        lambda f, x: (lambda v: v / 4 + (0.75 * v).detach())(each(f, x).mean())
    ),
    "It is zero everywhere.": lambda f, x: 0 * each(f, x).sum(),
    "It computes Σ‖θ‖², biases included.": (
        lambda f, x: sum(p.square().sum() for p in f.parameters())
    ),
    "": lambda f, x: (J_of(f, x) ** 2 * torch.arange(1.0, x[0].numel() + 1)).sum(),
}


def one_factor_detached(J):
    return (J * J.detach()).sum((1, 2)).mean()


@pytest.mark.parametrize("sentence", FROBREG)
def test_a_wrong_frobreg_is_named(sentence):
    assert said(FROBREG[sentence]) == sentence


def test_the_declared_scale_is_part_of_what_was_declared():
    got = said(lambda model, x: each(model, x).mean(), scale=0.5)
    assert got == "It computes the batch mean of FrobReg, ‖J‖²."


def test_a_detached_vector_is_named():
    def wrong(model, x, y):
        return probability_minus_label(model, x, y, detach=True)

    assert said(wrong, "doubleback").startswith(MEAN + "DoubleBack with p detached")


def test_one_probe_for_the_batch_is_named():
    def wrong(model, x):
        return projected(model, x, lambda z: torch.randn(1, z.shape[1]))

    assert said(wrong, "spectreg") == MEAN + "SpectReg, ‖Jᵀr‖², one probe for the whole batch."


def test_the_projection_of_probabilities_is_named():
    def wrong(model, x):
        return projected(model, x, torch.randn_like, lambda z: z.softmax(1))

    assert said(wrong, "spectreg") == MEAN + "projected JacReg, ‖(∂p/∂x)ᵀr‖²."


def test_a_factor_is_found_by_its_powers_and_said_in_words():
    rng = np.random.default_rng(0)
    sizes = [(2, 3, 5), (1, 2, 7), (5, 4, 3), (3, 3, 2), (2, 2, 2)]
    values = rng.uniform(1, 2, 5)
    got = [3 * m / n * v for (n, m, _), v in zip(sizes, values, strict=True)]
    assert fit(np.array(got), values, sizes) == pytest.approx((3, -1, 1, 0))
    assert in_words((3.0, -1, 1, 0)) == "3 × m × the batch mean of "
    got[0] *= 1 + 1e-6
    assert fit(np.array(got), values, sizes) is None


@pytest.mark.parametrize(
    ("a", "text"), [(0.5, "½"), (0.25, "¼"), (-1.0, "-1"), (0.75, "3/4"), (0.1234567, "0.1234567")]
)
def test_numbers_in_words(a, text):
    assert number(a) == text
