"""λ is chosen by validation images alone."""

import io
import json
from dataclasses import replace
from types import SimpleNamespace

import pytest
from gradreg_experiments.runs import Outcome, tune
from rich.console import Console
from runs.common import RUN


def test_no_lam_is_twice_in_a_grid():
    assert tune.grid(1, 1.01, 4) == (0.0, 1.0)
    assert tune.grid(1, 1.03, 4) == (0.0, 1.0)
    assert tune.grid(0.01, 1, 3) == (0.0, 0.01, 0.1, 1.0)


@pytest.mark.parametrize("asked", [(1, 1.8e308, 2), (0, 1, 3), (1, 10, 1), (1, 10, 10**11)])
def test_a_grid_that_cannot_be_is_refused(asked):
    with pytest.raises(ValueError, match=r"expected (0 < --from|2 to 1000 points)"):
        tune.grid(*asked)


TUNED = replace(RUN, penalty="spectreg", validation=20)


def at(lam, seed, validation):
    """What came of one λ and seed: the better in validation, the worse in the test."""
    run = replace(TUNED, lam=lam, seed=seed)
    return Outcome(run, 1.0, validation, 1 - validation, 1.0, 0.1, 1.0)


def test_lam_is_chosen_by_validation_images_alone():
    points = [tune.Point(lam, (at(lam, 1, value),)) for lam, value in ((0.0, 0.6), (0.1, 0.8))]
    assert tune.best(points).lam == 0.1


@pytest.mark.parametrize(
    ("best", "said"),
    [
        (0.0, "No λ of the grid does better than none"),
        (0.1, "--from extends it"),
        (0.5, ""),
        (0.9, "--to extends it"),
    ],
)
def test_a_choice_at_the_end_of_the_grid_is_said(best, said):
    grid = (0.0, 0.1, 0.5, 0.9)
    points = [tune.Point(lam, (at(lam, 1, 0.9 if lam == best else 0.5),)) for lam in grid]
    assert said in tune.at_an_end(points)
    assert bool(said) == bool(tune.at_an_end(points))


@pytest.mark.parametrize("width", [40, 60, 80])
def test_what_was_chosen_is_said_on_a_narrow_terminal(width):
    points = [tune.Point(lam, (at(lam, 1, lam), at(lam, 2, lam))) for lam in (0.00012, 0.5, 0.9)]
    console = Console(width=width, record=True, file=io.StringIO())
    console.print(tune.table(TUNED, points, width))
    text = console.export_text()
    assert "…" not in text, "no number and no heading is cut"
    assert "0.00012" in text
    lines = [line for line in text.splitlines() if "90.00" in line]
    assert len(lines) == 1
    assert "chosen" in lines[0]


def tuned(found, tmp_path, monkeypatch):
    """What is printed, of results by λ and seed."""

    def find(_, run):
        accuracy = found.get((run.lam, run.seed))
        return None if accuracy is None else at(run.lam, run.seed, accuracy)

    monkeypatch.setattr(tune.Store, "find", find)
    monkeypatch.setattr(tune.Store, "lost", lambda *_: "")
    monkeypatch.setattr(tune, "verified_before", lambda device, console: True)
    monkeypatch.setattr(tune, "train_missing", lambda *_: ["it was killed"])
    console = Console(width=100, record=True, file=io.StringIO())
    monkeypatch.setattr(tune, "Plain", lambda: console)
    request = SimpleNamespace(seeds=3, out=tmp_path, data=None, jobs=1, recorded="")
    assert tune.tune(TUNED, (0.0, 1.0), request) == 2
    return console.export_text()


def test_lams_are_compared_by_the_seeds_that_all_have(tmp_path, monkeypatch):
    """The mean at λ = 1 lacks the seed that is hard."""
    found = {(0, 1): 0.9, (0, 2): 0.4, (0, 3): 0.9, (1, 1): 0.8, (1, 3): 0.8}
    out = tuned(found, tmp_path, monkeypatch)
    assert "Compared by the seeds that every λ has: 1, 3." in out
    record = json.loads((tmp_path / "tune.json").read_text(encoding="utf-8"))
    assert record["chosen"] == 0
    assert record["seeds"] == [1, 3]
    assert record["validation"] == {"0": 90.0, "1": 80.0}


def test_lams_without_a_seed_in_common_are_not_compared(tmp_path, monkeypatch):
    out = tuned({(0, 1): 0.9, (1, 3): 0.8}, tmp_path, monkeypatch)
    assert "Compared by the seeds that every λ has: none." in out
    assert "Not run: it was killed" in out
    assert not (tmp_path / "tune.json").exists()
