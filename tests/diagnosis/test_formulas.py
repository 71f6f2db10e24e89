"""Wrong formulas, one function of each kind, are named."""

import pytest
import torch
from diagnosis.common import MEAN, RIGHT_VALUE, J_of, each, probability_minus_label, projected, said

from gradreg_verify.mistakes.torch.entries import squares, vjp


def one_factor_detached(J):
    return (J * J.detach()).sum((1, 2)).mean()


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
    MEAN + "‖Jᵀ1 (the gradient of the sum of the logits)‖². On networks with one output it is the "
    "batch mean of frobreg: if it is for these, declare --outputs 1.": (
        lambda f, x: projected(f, x, torch.ones_like)
    ),
    MEAN + "JacReg, ‖∂p/∂x‖².": lambda f, x: each(
        torch.nn.Sequential(f, torch.nn.Softmax(1)), x
    ).mean(),
    MEAN + "‖J‖² with one factor detached.": lambda f, x: one_factor_detached(J_of(f, x)),
    RIGHT_VALUE + "; but its gradient is zero.": (
        lambda f, x: squares(J_of(f, x, False)).mean() + 0 * f(x).sum()
    ),
    RIGHT_VALUE + "; but its gradient is ¼ × that of its value.": (
        lambda f, x: (lambda v: v / 4 + (0.75 * v).detach())(each(f, x).mean())
    ),
    "It computes 1/m × 1/d (d input coordinates) × the batch mean of FrobReg, ‖J‖².": (
        lambda f, x: J_of(f, x).square().mean()
    ),
    "It computes 1/p (p pixels) × the batch mean of FrobReg, ‖J‖².": (
        lambda f, x: each(f, x).mean() / (x[0, 0].numel() if x.dim() > 2 else 1)
    ),
    MEAN + "σ²_max of J, the largest singular value squared.": (
        lambda f, x: torch.linalg.matrix_norm(J_of(f, x), 2).square().mean()
    ),
    MEAN + "σ_max of J, the largest singular value.": (
        lambda f, x: torch.linalg.matrix_norm(J_of(f, x), 2).mean()
    ),
    "It computes max_b ‖J‖², the largest of the batch.": lambda f, x: each(f, x).max(),
    "It computes 1/B × (Σ_b ‖J‖²)^½, a norm over the whole batch.": (
        lambda f, x: (each(f, x).sum() + 1e-300).sqrt() / len(x)
    ),
    "It computes ((Σ_b ‖J‖²)^½ − 1)², with the norm over the whole batch.": (
        lambda f, x: ((each(f, x).sum() + 1e-300).sqrt() - 1) ** 2
    ),
    MEAN + "(‖J‖ − 1)².": lambda f, x: (((each(f, x) + 1e-300).sqrt() - 1) ** 2).mean(),
    MEAN + "‖J‖⁴, squared twice.": lambda f, x: each(f, x).square().mean(),
    "With the last layer doubled its value is 2^3 times as large, and that of frobreg 4 times.": (
        lambda f, x: J_of(f, x).abs().pow(3).sum()
    ),
    "It is zero everywhere.": lambda f, x: 0 * each(f, x).sum(),
    "It computes Σ‖θ‖², biases included.": (
        lambda f, x: sum(p.square().sum() for p in f.parameters())
    ),
    "With the last layer doubled its value is 4 times as large, as that of frobreg; the kit knows "
    "no formula that fits.": lambda f, x: (
        J_of(f, x) ** 2 * torch.arange(1.0, x[0].numel() + 1)
    ).sum(),
    MEAN + "max(‖J‖ − 1, 0)².": (
        lambda f, x: ((each(f, x) + 1e-300).sqrt() - 1).clamp(min=0).square().mean()
    ),
    MEAN + "log(1 + ‖J‖²).": lambda f, x: each(f, x).log1p().mean(),
    MEAN + "(Σ |J|)², absolute values summed before they are squared.": (
        lambda f, x: J_of(f, x).abs().sum((1, 2)).square().mean()
    ),
    MEAN + "max |J|², the largest entry squared.": (
        lambda f, x: J_of(f, x).abs().amax((1, 2)).square().mean()
    ),
    "Its value is the batch mean of frobreg, plus 1e-08.": lambda f, x: each(f, x).mean() + 1e-8,
    "Its value is the batch sum of frobreg, with 0.25 added to every example's value.": (
        lambda f, x: (each(f, x) + 0.25).sum()
    ),
    "Its value is the declared one on 16 of 22 networks, and another one on the rest, all of "
    "them with 5 examples in the batch or more.": lambda f, x: torch.stack(
        [each(f, part).mean() for part in x.split(2)]
    ).mean(),
}


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


def test_the_projection_of_probabilities_is_named():
    def wrong(model, x):
        return projected(model, x, torch.randn_like, lambda z: z.softmax(1))

    assert said(wrong, "spectreg") == MEAN + "projected JacReg, ‖(∂p/∂x)ᵀr‖²."


def gradient_of_the_sum(model, x, of=torch.sum):
    x = x.detach().requires_grad_()
    return torch.autograd.grad(of(model(x)), x, create_graph=True)[0]


def norms(v, axes):
    return (v.square().sum(axes) + 1e-300).sqrt()


OF_PUBLIC_CODE = {
    "1/m² × the batch mean of ‖Jᵀ1 (the gradient of the sum of the logits)‖². On networks with one "
    "output it is the batch mean of frobreg: if it is for these, declare --outputs 1.": (
        lambda f, x: squares(gradient_of_the_sum(lambda x: f(x).mean(1), x)).mean()
    ),
    "1/√m × 1/√d (d input coordinates) × the batch mean of ‖J‖, the norm and not its square.": (
        lambda f, x: ((J_of(f, x).square().flatten(1).mean(1)) + 1e-300).sqrt().mean()
    ),
    "the batch mean of (‖J‖² − 1)².": lambda f, x: ((each(f, x) - 1) ** 2).mean(),
    "the batch mean of ‖Jᵀz (the gradient of ½‖z‖²)‖².": (
        lambda f, x: squares(gradient_of_the_sum(f, x, lambda z: z.square().sum() / 2)).mean()
    ),
    "the batch mean of ‖Jᵀ(1 − mp) (the gradient of Σ log p)‖².": (
        lambda f, x: squares(gradient_of_the_sum(f, x, lambda z: z.log_softmax(1).sum())).mean()
    ),
}


@pytest.mark.parametrize("formula", OF_PUBLIC_CODE)
def test_a_formula_of_public_code_is_named(formula):
    assert said(OF_PUBLIC_CODE[formula]) == f"It computes {formula}"


OF_CRITICS = {
    "the batch mean of the mean over pixels of (‖J at one pixel‖ − 1)², with the norm over "
    "channels": lambda v: ((norms(v, 1) - 1) ** 2).mean(),
    "the batch sum of the sum over pixels of ‖J at one pixel‖, the norm and not its square, with "
    "the norm over channels": lambda v: norms(v, 1).sum(),
    "the batch mean of (‖J‖/B − 1)², the gradient of a batch mean": (
        lambda v: ((norms(v.flatten(1), 1) / len(v) - 1) ** 2).mean()
    ),
}


@pytest.mark.parametrize("formula", OF_CRITICS)
def test_a_penalty_of_a_critic_is_named(formula):
    got = said(lambda f, x: OF_CRITICS[formula](gradient_of_the_sum(f, x)), "r1")
    assert got == f"It computes {formula}."


def test_the_trace_of_J_is_named():
    def divergence(model, x):
        return J_of(model, x).flatten(2).diagonal(dim1=1, dim2=2).sum(1)

    got = said(divergence, square=True, reduction="none")
    assert got == "It computes the value an example of tr J, the divergence."


def test_a_formula_of_vectors_is_named_where_images_have_another():
    got = said(lambda f, x: norms(gradient_of_the_sum(f, x), -1).mean(), "r1")
    assert got == (
        "On vectors it computes the batch mean of ‖J‖, the norm and not its square. On images it "
        "computes another number, which the kit does not know."
    )


LABELLED = {
    "Jᵀ(p − e_c), c the predicted class": lambda z, y: torch.nn.functional.cross_entropy(
        z, z.argmax(1), reduction="sum"
    ),
    "Jᵀ(p − y) with y smoothed by 0.1": lambda z, y: torch.nn.functional.cross_entropy(
        z, y, reduction="sum", label_smoothing=0.1
    ),
    "Jᵀ(σ(z) − y), σ the sigmoid of a logit": lambda z, y: (
        torch.nn.functional.binary_cross_entropy_with_logits(
            z, torch.nn.functional.one_hot(y, z.shape[1]).to(z.dtype), reduction="sum"
        )
    ),
}


@pytest.mark.parametrize("vector", LABELLED)
def test_other_labels_of_doubleback_are_named(vector):
    def wrong(model, x, y):
        x = x.detach().requires_grad_()
        loss = LABELLED[vector](model(x), y)
        return squares(torch.autograd.grad(loss, x, create_graph=True)[0]).mean()

    assert said(wrong, "doubleback") == f"{MEAN}‖{vector}‖²."


def test_targets_that_are_no_probabilities_do_not_end_the_diagnosis():
    def broadcast(model, x, y):
        x = x.detach().requires_grad_()
        z = model(x)
        loss = ((z.squeeze() - y) ** 2).sum() / z.shape[1]
        return squares(torch.autograd.grad(loss, x, create_graph=True)[0]).mean()

    got = said(broadcast, "doubleback", loss="mean_squared_error")
    assert got.endswith("and another one on the rest, those with one logit.")


def q_first(model, x, probes):
    x = x.detach().requires_grad_()
    z = model(x)
    return sum(squares(vjp(z, x, r)) for r in probes).mean()


def test_probes_that_must_be_given_are_known_in_any_layout():
    got = said(q_first, "spectreg", num_probes=2)
    assert got == "It computes 2 × the batch mean of SpectReg, ‖Jᵀr‖²."


def with_its_loss(loss, M, factor):
    """The loss, plus the factor times ‖JᵀM‖² of a batch mean, as in a training step."""

    def total(model, x, y):
        x = x.detach().requires_grad_()
        z = model(x)
        return loss(z, y) + factor * squares(vjp(z, x, M(z, y))).mean()

    return total


def summed(z, y):
    return torch.nn.functional.cross_entropy(z, y, reduction="sum")


LOSSES = {
    "the mean cross-entropy plus 5 × the batch mean of SpectReg, ‖Jᵀr‖²": (
        with_its_loss(torch.nn.functional.cross_entropy, lambda z, _: torch.randn_like(z), 5),
        {"kind": "spectreg"},
    ),
    "the summed cross-entropy plus ½ × the batch mean of ‖Jᵀp‖²": (
        with_its_loss(summed, lambda z, _: z.softmax(1), 0.5),
        {"kind": "doubleback"},
    ),
    "the mean squared error plus the batch mean of DoubleBack of the mean squared error, "
    "‖2Jᵀ(z − y)/m‖²": (
        with_its_loss(torch.nn.functional.mse_loss, lambda z, y: 2 * (z - y) / z.shape[1], 1),
        {"kind": "doubleback", "loss": "mean_squared_error"},
    ),
}


@pytest.mark.parametrize("sum_of_both", LOSSES)
def test_a_loss_with_a_penalty_added_is_named(sum_of_both):
    function, declared = LOSSES[sum_of_both]
    remedy = "Return the penalty without the loss, to have it tested."
    assert said(function, **declared) == f"It computes {sum_of_both}. {remedy}"
