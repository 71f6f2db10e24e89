"""The diagnosis ends: with functions that hang, errors of its own, and many calls."""

import pytest
import torch
from diagnosis.common import each, said, target

from gradreg_verify.claims.ledger import BY_ID
from gradreg_verify.diagnosis.diagnose import diagnose
from gradreg_verify.diagnosis.observe import observations
from gradreg_verify.diagnosis.shrink import smallest
from gradreg_verify.outcomes import Hung


def test_a_function_that_never_answers_is_asked_for_its_arguments():
    def on_logits(x, y):
        return torch.autograd.grad(y.sum(), x, create_graph=True)[0].square().sum()

    got = said(on_logits, arguments=("model", "x"))
    assert "It gives no value on 22 of 22 networks" in got
    assert "It was called with model, x: if its parameters are others, name them, as in " in got
    assert "--arguments x,logits." in got


def test_an_error_inside_the_diagnosis_is_a_sentence(monkeypatch):
    class Silent(Exception):
        def __str__(self):
            raise RuntimeError

    def fails(*_):
        raise Silent

    monkeypatch.setattr("gradreg_verify.diagnosis.diagnose.computed", fails)
    found = diagnose(target(lambda model, x: each(model, x).sum()), BY_ID["frobreg-formula"])
    said = "The diagnosis itself raised Silent: (it has no text: its __str__ raises)"
    assert found.computes == said
    assert found.counterexample is not None


@pytest.mark.parametrize("last", [1, 2, 3, 4, 9, 40])
def test_a_function_that_hangs_ends_the_diagnosis_at_once(last):
    calls = []

    def wrong(model, x):
        calls.append(1)
        if len(calls) == last:
            raise Hung("did not return within 10 s")
        return 2 * each(model, x).mean()

    ended = "The diagnosis ended early: the function did not return within 10 s."
    assert diagnose(target(wrong), BY_ID["frobreg-formula"]).computes == ended
    assert len(calls) == last


def test_the_diagnosis_is_bounded(monkeypatch):
    calls = []

    def wrong(model, x):
        calls.append(1)
        return 2 * each(model, x).mean()

    def calls_made(**options):
        calls.clear()
        assert smallest(target(wrong), BY_ID["frobreg-formula"], **options) is not None
        return len(calls)

    unbounded = calls_made()
    out_of_time = calls_made(end=0.0)
    monkeypatch.setattr("gradreg_verify.diagnosis.shrink.TRIES", 3)
    assert out_of_time < calls_made() < unbounded
    assert observations(target(wrong).declared, end=0.0).observed == []
