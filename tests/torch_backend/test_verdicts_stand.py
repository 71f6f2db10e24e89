"""Whatever a function does, a report comes of it: a verdict with a sentence, never a traceback."""

import gradreg_cli as cli
import numpy as np
import pytest
import torch

from gradreg_verify import verify
from gradreg_verify.claims.target import target_of
from gradreg_verify.mistakes.torch import frobreg as wrong_frobreg
from gradreg_verify.mistakes.torch import right
from gradreg_verify.outcomes import NotTestable, raised
from gradreg_verify.text import printable


class Textless(Exception):
    def __str__(self):
        raise ValueError("no text")


class Cancelled(BaseException):
    """As asyncio's."""


def verdicts(report):
    return {result.claim.id: result.verdict for result in report.results}


def failing_with(error):
    def penalty(model, x):
        raise error

    return penalty


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (Textless(), "raised Textless: (it has no text: its __str__ raises)"),
        (ValueError("a\x1b[31mb\ud800\x00"), r"raised ValueError: a\x1b[31mb\ud800\x00"),
        (Cancelled("stop"), "raised Cancelled: stop"),
        (SystemExit(3), "raised SystemExit: 3"),
    ],
)
def test_what_an_exception_says_is_printable(error, said):
    report = verify(failing_with(error), "frobreg")
    assert said in report.results[0].figure
    str(report).encode("utf-8")


def test_a_text_stays_as_it_is_where_it_can_be_printed():
    assert printable("‖J‖²\nπ") == "‖J‖²\nπ"
    assert raised(KeyError("x")) == "KeyError: 'x'"


def stateful():
    """Right in the first calls, then wrong in every third: no search finds the same twice."""
    calls = [0]

    def penalty(model, x):
        calls[0] += 1
        return right.naive(model, x) * (2 if calls[0] > 60 and calls[0] % 3 == 0 else 1)

    return penalty


def test_a_penalty_with_state_gets_a_verdict():
    report = verify(stateful(), "frobreg")
    assert report.failed
    assert report.diagnosis is not None


def test_waiving_the_failures_reported_is_enough():
    report = verify(wrong_frobreg.a_hidden_half, "frobreg")
    again = verify(
        wrong_frobreg.a_hidden_half,
        "frobreg",
        waivers=dict.fromkeys(report.failed, "we like halves"),
    )
    assert again.ok, str(again)
    assert verdicts(again)["rounding-bounded"] == "NOT-TESTED"


INPUT_SIDE = """
import numpy as np
import torch

def penalty(model, x):
    v = torch.from_numpy(np.random.randn(*x.shape)).to(x)
    x = x.detach().requires_grad_()
    J = [torch.autograd.grad(z.sum(), x, create_graph=True)[0] for z in model(x).unbind(1)]
    return sum((g * v).flatten(1).sum(1).square() for g in J).mean()
"""


def test_a_formula_that_was_not_tested_is_no_success(tmp_path, capsys):
    """Probes of the inputs cannot be given to this one, nor read out in full."""
    path = tmp_path / "mine.py"
    path.write_text(INPUT_SIDE)
    spec = ["verify", f"{path}:penalty", "--kind", "spectreg", "--side", "input"]
    assert cli.main(spec) == 2
    out = capsys.readouterr().out
    assert "FAIL" not in out
    assert "penalty: its formula was not tested: " in out


def test_a_penalty_that_is_no_quadratic_form_of_its_probes_is_told_so():
    def absolute(model, x, probes):
        x = x.detach().requires_grad_()
        r = probes.reshape(model(x).shape)
        (v,) = torch.autograd.grad(model(x), x, r, create_graph=True)
        return v.abs().flatten(1).sum(1).mean()

    one = target_of(absolute, "spectreg", "torch", "cpu", 4, 10.0, {"probe": "gaussian"}).declared
    with pytest.raises(NotTestable, match="in none is the penalty a quadratic form of the probes"):
        one.probes.supply(np.ones((2, 3, 1)), 2)
