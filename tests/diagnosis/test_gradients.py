"""Gradients that are missing or no formula's, and the numbers that are shown."""

import pytest
import torch
from diagnosis.common import RIGHT_VALUE, J_of, each, said, target

from gradreg_verify.claims.ledger import BY_ID
from gradreg_verify.diagnosis.diagnose import diagnose
from gradreg_verify.mistakes.torch.entries import squares

NO_GRAPH = "carries no graph"


@pytest.mark.parametrize(
    ("modes", "words"),
    [
        ((True, False), f"{NO_GRAPH}: a constant to the optimiser."),
        ((True,), f"{NO_GRAPH} in training mode: a constant to the optimiser."),
        ((False,), f"{NO_GRAPH} in evaluation mode: a constant to the optimiser."),
    ],
)
def test_a_value_without_a_graph_is_named_with_its_mode(modes, words):
    def wrong(model, x):
        value = each(model, x).mean()
        return value.detach() if model.training in modes else value

    assert said(wrong) == f"{RIGHT_VALUE}, and {words}"


class Raises(torch.autograd.Function):
    @staticmethod
    def forward(ctx, value):
        return value.clone()

    @staticmethod
    def backward(ctx, gradient):
        raise NotImplementedError("no backward here")


def test_a_gradient_that_raises_is_no_constant():
    got = said(lambda model, x: Raises.apply(each(model, x).mean()))
    assert "constant" not in got
    assert got.endswith("its gradient is missing on 22 of 22 networks: raised NotImplementedError.")


def test_a_gradient_that_is_nan_on_one_network_is_no_formula():
    def wrong(model, x):
        return each(model, x).sqrt().square().mean()

    found = diagnose(target(wrong), BY_ID["training-gradient"])
    assert found.computes.endswith("; but its gradient is NaN on 1 of 23 networks.")
    assert "its gradient is nan; that of the batch mean of frobreg is 0" in str(found)


def test_the_value_is_shown_before_the_gradient_and_in_the_function_s_own_numbers():
    wrong = target(lambda model, x: each(model, x).mean(), scale=0.5)
    shown = diagnose(wrong, BY_ID["training-gradient"]).counterexample
    assert shown.message == ("The function returns 0.25; the 0.5 × batch mean of frobreg is 0.125.")
    gradient = target(lambda model, x: squares(J_of(model, x, False)).mean() + 0 * model(x).sum())
    shown = diagnose(gradient, BY_ID["training-gradient"]).counterexample
    assert (
        "as declared. Along a direction of the parameters its gradient is 0; that" in shown.message
    )


def test_numbers_are_called_divided_by_the_scale_only_where_they_are():
    calls = []

    def wrong(model, x):
        calls.append(1)
        return 0.5 * each(model, x).mean() + len(calls)

    shown = diagnose(target(wrong, scale=0.5), BY_ID["repeatable"]).counterexample
    assert "twice with one seed" in shown.message
    assert "divided" not in shown.message
    one = target(lambda model, x: 0.5 * each(model, x).mean() + 1, scale=0.5)
    doubled = diagnose(one, BY_ID["metamorphic-laws"]).counterexample
    assert doubled.message.endswith("(both divided by the declared scale 0.5)")
