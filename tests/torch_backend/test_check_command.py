"""`gradreg check`: exit status 0, 1, 2, and a sentence for what cannot run."""

import gradreg_cli as cli
import gradreg_cli.check
import pytest
from gradreg_cli import main, terminal

MODELS = """
import torch
from torch import nn

class Cube(nn.Module):
    def forward(self, t):
        slope = (3 * t * t).detach()
        return slope * t + (t**3 - slope * t).detach()

def right():
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))

def wrong():
    return nn.Sequential(nn.Linear(4, 5), Cube(), nn.Linear(5, 3))

def one_logit():
    return nn.Linear(4, 1)

def raises():
    raise RuntimeError("no weights")

def leaves():
    raise SystemExit(0)

class Wordless(Exception):
    def __str__(self):
        raise ValueError("no words")

def wordless():
    raise Wordless

class Later(nn.Module):
    def __init__(self, error):
        super().__init__()
        self.error = error

    def forward(self, x):
        raise self.error

def leaves_later():
    return Later(SystemExit(0))

def wordless_later():
    return Later(Wordless())

number = 3
"""


@pytest.fixture
def check(tmp_path, capsys):
    path = tmp_path / "models.py"
    path.write_text(MODELS)

    def run(name, *arguments):
        status = main(["check", f"{path}:{name}", "--input", "6x4", *arguments])
        captured = capsys.readouterr()
        return status, captured.out + captured.err

    return run


@pytest.mark.parametrize("penalty", ["spectreg", "frobreg", "doubleback", "jacreg", "onehot"])
def test_a_right_model(check, penalty):
    status, said = check("right", "--penalty", penalty)
    assert status == 0
    assert "ok    gradient" in said


def test_a_wrong_model(check):
    status, said = check("wrong")
    assert status == 1
    assert "WRONG gradient" in said
    assert check("wrong", "--mode", "finite_difference")[0] == 0  # as the remedy says


def test_a_narrow_terminal_breaks_no_word(check, monkeypatch):
    _, whole = check("wrong")
    monkeypatch.setattr(terminal, "is_terminal", lambda **_: True)
    monkeypatch.setattr(cli.check, "is_terminal", lambda **_: True)
    monkeypatch.setenv("COLUMNS", "40")
    status, said = check("wrong")
    assert status == 1
    assert max(map(len, said.splitlines())) <= 40
    assert "\nWRONG gradient\n  " in said
    assert {"repeatable", "differences", "finite_difference"} <= set(said.split())
    assert max(map(len, whole.splitlines())) > 40, "a pipe gets the table"


def test_an_input_that_does_not_fit_names_the_batch_and_tokens(check):
    said = check("right", "--input", "6x5")[1]
    assert "pass the --input of a batch, as in 8x3x32x32" in said
    assert "the part of the model behind its embedding" in said


def test_one_logit_is_checked_with_frobreg(check):
    status, said = check("one_logit")
    assert status == 0
    assert said.startswith("FrobReg on Linear")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["raises"], "but it raised RuntimeError: no weights"),
        (["number"], "'int' object is not callable"),
        (["nothing"], "expected 'nothing' in"),
        (["right", "--input", "6x5"], r"a model of x (6, 5), but it raised RuntimeError"),
        (["right", "--mode", "backward"], "expected --mode to be one of auto, reverse"),
        (
            ["right", "--device", "nope"],
            "with float64 among cpu; got 'nope'",
        ),
        (["one_logit", "--penalty", "doubleback"], "expected labels y for DoubleBack"),
    ],
)
def test_what_cannot_run_is_a_sentence(check, arguments, message):
    status, said = check(*arguments)
    assert status == 2
    assert message in said


@pytest.mark.parametrize("shape", ["6x", "0x4", "axb"])
def test_a_shape_that_is_none(check, shape, capsys):
    with pytest.raises(SystemExit):
        check("right", "--input", shape)
    assert f"expected sizes as in 3x8x8, got '{shape}'" in capsys.readouterr().err


def test_a_shape_has_a_batch(check):
    status, said = check("right", "--input", "6")
    assert status == 2
    assert "such as 8x3x32x32, got 6 alone" in said


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("leaves", "SystemExit(0) raised by it"),
        ("leaves_later", "SystemExit(0) raised by it"),
        ("wordless", "raised Wordless: (it has no text"),
        ("wordless_later", "raised Wordless: (it has no text"),
    ],
)
def test_what_a_model_raises_is_a_sentence_and_no_success(check, name, words):
    status, said = check(name)
    assert status == 2
    assert words in said


@pytest.mark.parametrize("shape", ["99999999999x4", "9223372036854775808x4"])
def test_inputs_that_cannot_be_made_are_a_sentence(tmp_path, capsys, shape):
    (path := tmp_path / "models.py").write_text(MODELS)
    assert main(["check", f"{path}:right", "--input", shape]) == 2
    assert f"expected an --input that fits the memory, got {shape}\n" in capsys.readouterr().err
