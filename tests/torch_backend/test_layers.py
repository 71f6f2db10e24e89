"""The table of docs/train.md is what happens, layer by layer and mode by mode."""

import re

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from gradreg_torch import _engine
from torch import nn
from torch_backend import layers

(TABLE,) = layers.MARKS.findall(layers.PAGE.read_text(encoding="utf-8"))
CELLS = {
    (name, mode): cell
    for name, *cells in (
        [part.strip() for part in line.strip("|").split("|")]
        for line in TABLE.splitlines()
        if line.startswith("|")
    )
    for mode, cell in zip(layers.MODES, cells, strict=True)
}
REFUSALS = dict(re.findall(r"^(\d+)\. (.*)$", TABLE, flags=re.MULTILINE))


@pytest.mark.parametrize("mode", layers.MODES)
@pytest.mark.parametrize("name", layers.CASES)
def test_the_table_says_what_happens(name, mode):
    said = CELLS[name, mode]
    numbers = re.findall(r"\((\d+)\)", said)
    expected = f"refused: {REFUSALS[numbers[0]]}" if numbers else said
    assert layers.outcome(layers.CASES[name], mode) == expected


def test_nothing_in_the_table_is_wrong():
    assert not [cell for cell in CELLS.values() if "WRONG" in cell]


TORCH_S_OWN = {
    F.batch_norm: lambda *args, policy="batch", **options: F.batch_norm(*args, **options)
}


@pytest.mark.parametrize("name", ["layer norm", "batch norm, training", "instance norm"])
def test_torch_s_own_kernels_are_silently_wrong_in_forward_mode(name, monkeypatch):
    """Why they are decomposed; that a trial would see it, and without it the table."""
    monkeypatch.setattr(_engine.normalisation, "FORMULAS", TORCH_S_OWN)
    monkeypatch.setattr(_engine.graph, "WRONG_IN_FORWARD_MODE", ("no such node",))
    refused = "refused: expected a model that torch.func.jvp can run"
    said = layers.outcome(layers.CASES[name], "forward")
    assert said.startswith(("refused: expected operations whose forward mode is right", refused))
    monkeypatch.setattr(_engine.forward_trial, "require_right", lambda *_: None)
    said = layers.outcome(layers.CASES[name], "forward")
    assert said.startswith(("WRONG", refused))


@pytest.mark.parametrize("name", ["layer norm", "instance norm"])
def test_a_kernel_that_gets_past_the_formulas_is_refused(name, monkeypatch):
    monkeypatch.setattr(_engine.normalisation, "FORMULAS", {})
    with pytest.raises(ValueError, match="whose forward mode is silently wrong"):
        layers.penalty(*layers.made(layers.CASES[name]), "forward")


def test_auto_says_that_it_takes_finite_differences():
    model, x = layers.made(layers.CASES["hardsigmoid"])
    with pytest.warns(UserWarning, match="finite differences: hardsigmoid cannot be"):
        gt.spectreg(model, x, mode="auto", generator=torch.Generator())


NEAR = torch.tensor([[1e-7, -1.0], [0.5, 1e-6]], dtype=torch.float32)


def relu_at_its_kink():
    """Units whose inputs are closer to 0 than the step."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 2, bias=False), nn.ReLU(), nn.Linear(2, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.eye(2))
    return model


def gradient(mode):
    model = relu_at_its_kink()
    value = gt.spectreg(model, NEAR, probes=torch.ones(2, 2, 1), mode=mode)
    gradients = torch.autograd.grad(
        value, list(model.parameters()), allow_unused=True, materialize_grads=True
    )
    return torch.cat([g.flatten() for g in gradients])


def test_finite_differences_do_not_cross_kinks():
    assert (gradient("finite_difference") - gradient("reverse")).norm() < 1e-3


def test_crossed_kinks_are_seen(monkeypatch):
    for module in (_engine.evaluation, _engine.differences):
        monkeypatch.setattr(module, "kinks", lambda found: set())
    with pytest.raises(ValueError, match=r"a difference of logits that is off by 0\.4"):
        gradient("finite_difference")
