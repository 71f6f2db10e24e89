"""What the diagnosis and a claim say of a fault that not every network or mode shows."""

import numpy as np
import pytest
import torch
from torch.func import functional_call

from gradreg_verify import verify
from gradreg_verify.mistakes.torch import again, rare
from gradreg_verify.mistakes.torch.entries import exact, gradient, own, rows, squares


def said(function, kind="frobreg", **declared):
    report = verify(function, kind, **declared)
    return report.diagnosis.computes, report.results


def figure(results, claim):
    return next(r.figure for r in results if r.claim.id == claim)


def test_a_value_of_its_own_in_training_mode_is_no_wrong_gradient():
    def lazy(model, x):
        return exact(model, x).mean() * (16 if model.training else 1)

    computes, results = said(lazy)
    assert computes == (
        "Its value is the declared one on all 23 networks tried; but in training mode it is 16 × "
        "that number."
    )
    assert "in training mode: frobreg, value: expected" in figure(results, "training-gradient")


def test_a_gradient_that_is_missing_here_and_wrong_there():
    def last_layer_constant(model, x):
        parameters = dict(model.named_parameters())
        last = list(parameters)[-2]
        x = own(x)
        z = functional_call(model, parameters | {last: parameters[last].detach()}, (x,))
        return squares(rows(z, x)).mean()

    computes, _ = said(last_layer_constant)
    assert "its gradient is missing on 1 of 23 networks: the value has no graph" in computes
    assert computes.endswith("; on the others it is not that of its value.")


def test_the_sum_over_outputs_in_the_place_of_their_mean():
    def summed(model, x, y):
        return squares(gradient(model, x, lambda z: (z - y).square().sum())).mean()

    computes, _ = said(summed, "doubleback", loss="mean_squared_error")
    assert computes.startswith("It computes m² × the batch mean of DoubleBack")


def test_a_frozen_layer_is_named():
    _, results = said(rare.a_graph_for_the_first_parameter)
    expected = "where the first weight requires no gradient: frobreg, parameter gradient: expected"
    assert expected in figure(results, "training-gradient")


def test_the_mode_in_which_probes_are_of_another_law_is_named():
    _, results = said(rare.uniform_in_single_precision, "spectreg")
    where = "(float32, training mode, an x that requires a gradient, images, batches of 308)"
    assert where in figure(results, "probe-law")


def test_passes_with_other_dropout_masks_are_named():
    _, results = said(again.a_pass_for_every_class)
    expected = "mixes 3 passes of a model in training mode: dropout draws another mask in each"
    assert expected in figure(results, "training-gradient")


@pytest.mark.parametrize(
    ("put", "get", "words"),
    [
        (
            lambda: setattr(torch.backends.cudnn, "enabled", False),
            lambda: torch.backends.cudnn.enabled,
            "cuDNN's enabled",
        ),
        (lambda: torch.set_default_device("meta"), torch.get_default_device, "the default device"),
        (lambda: np.seterr(all="raise"), np.geterr, "NumPy's handling of errors"),
    ],
)
def test_settings_that_a_function_leaves_changed_are_put_back(put, get, words):
    def penalty(model, x):
        value = exact(model, x).mean()
        put()
        return value

    before = get()
    _, results = said(penalty)
    assert f"a call of frobreg changes {words}" in figure(results, "repeatable")
    assert get() == before
    failed = [result.claim.id for result in results if result.verdict == "FAIL"]
    assert failed == ["repeatable"]
