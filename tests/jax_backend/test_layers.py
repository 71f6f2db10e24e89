"""The layer table of docs/jax.md is what happens: value and gradient, mode by mode."""

import re
from types import SimpleNamespace

import gradreg_jax as gj
import pytest
from jax import lax
from jax_backend import layers

pytestmark = pytest.mark.xdist_group("jax")


def cells():
    """The table of the page: layer and mode to what it says."""
    (written,) = layers.MARKS.findall(layers.PAGE.read_text(encoding="utf-8"))
    notes = dict(re.findall(r"^(\d+)\. (.*)$", written, flags=re.MULTILINE))
    for line in re.findall(r"^\| (.*) \|$", written, flags=re.MULTILINE)[1:]:
        name, *said = line.split(" | ")
        for mode, cell in zip(layers.MODES, said, strict=True):
            number = re.fullmatch(r"refused \((\d+)\)", cell)
            yield (name, mode), f"refused: {notes[number[1]]}" if number else cell


def test_the_table_names_every_layer():
    assert list(dict(cells())) == [(name, mode) for name in layers.CASES for mode in layers.MODES]


@pytest.mark.parametrize("mode", layers.MODES)
@pytest.mark.parametrize("name", layers.CASES)
def test_the_table_says_what_happens(name, mode):
    assert dict(cells())[name, mode] == layers.outcome(name, mode)


def half(f, params, x, **options):
    """Wrong in value."""
    return gj.spectreg(f, params, x, **options) / 2


def detached(f, params, x, **options):
    """Wrong in its gradient alone."""
    return lax.stop_gradient(gj.spectreg(f, params, x, **options))


@pytest.mark.parametrize("mode", layers.MODES)
@pytest.mark.parametrize("mistake", [half, detached])
def test_a_wrong_penalty_would_be_seen(mistake, mode, monkeypatch):
    wrong = SimpleNamespace(spectreg=mistake, frobreg=gj.frobreg)
    monkeypatch.setattr(layers, "gj", wrong)
    assert layers.outcome("dense, tanh", mode).startswith("WRONG")
