"""Runs that are stacked are the separate runs."""

from dataclasses import replace

import pytest
import torch
from gradreg_experiments.runs import train, training
from gradreg_experiments.runs.trainer import Trainer
from runs.common import RUN, double

STACKED = {
    "plain": {},
    "spectreg and dropout": {"penalty": "spectreg", "lam": 0.1, "dropout": True},
    "batch norm": {"penalty": "spectreg", "lam": 0.1, "batch_norm": True, "weight_decay": 1e-3},
    "unlabelled": {"penalty": "spectreg", "lam": 0.1, "unlabelled": 40, "dropout": True},
    "doubleback": {"penalty": "doubleback", "lam": 0.1, "confidence": 0.1},
    "jacreg": {"penalty": "jacreg", "lam": 0.1, "options": {"num_probes": 1}},
    "running statistics": {
        "penalty": "frobreg",
        "lam": 0.1,
        "batch_norm": True,
        "options": {"batchnorm": "eval"},
    },
}


@pytest.mark.parametrize("name", STACKED)
def test_stacked_seeds_are_separate_runs(name):
    runs = [replace(RUN, seed=seed, **STACKED[name]) for seed in (1, 2, 3)]
    together, alone = double(runs), [double([run]) for run in runs]
    for t in range(4):
        for trainer in (together, *alone):
            trainer.step(t)
    for r, trainer in enumerate(alone):
        ours, theirs = (
            dict(n.named_parameters()) | dict(n.named_buffers())
            for n in (together.network(r), trainer.network(0))
        )
        assert list(ours) == list(theirs)
        for key, value in ours.items():
            # Adam moves where the gradient is 0 but for rounding, 1e-16, by 1e-3 · 1e-16 / 1e-8 a
            # step; another batch, mask or probe would move it by 1e-3.
            torch.testing.assert_close(value, theirs[key], rtol=1e-9, atol=1e-9)


def test_runs_that_are_not_one_cell_are_not_stacked():
    with pytest.raises(ValueError, match="differ in their seeds and in nothing else"):
        train([RUN, replace(RUN, seed=2, batch_norm=True)])


def test_a_fraction_cannot_be_stacked():
    runs = [replace(RUN, seed=s, penalty="spectreg", options={"fraction": 0.5}) for s in (1, 2)]
    with pytest.raises(ValueError, match="leave --stack-seeds out"):
        train(runs)


@pytest.mark.parametrize("kind", [{"options": {"mode": "finite_difference"}}, {"amp": "bfloat16"}])
def test_what_vmap_cannot_run_cannot_be_stacked(kind):
    runs = [replace(RUN, seed=s, penalty="spectreg", **kind) for s in (1, 2)]
    with pytest.raises(ValueError, match=r"for stacked seeds.*leave --stack-seeds out"):
        train(runs)


def test_a_stacked_run_that_diverges_leaves_the_others_alone(monkeypatch):
    """One has a rate of its own for a step, which is too large."""
    runs = [replace(RUN, seed=seed) for seed in (1, 2, 3)]
    monkeypatch.setattr(training, "LOOK_EVERY", 5)
    step = Trainer.step

    def with_a_mishap(trainer, t):
        total = step(trainer, t)
        if t == 7 and len(trainer.runs) > 1:
            with torch.no_grad():
                trainer.parameters[0][1] *= float("inf")
        return total

    monkeypatch.setattr(Trainer, "step", with_a_mishap)
    outcomes, networks = train(runs)
    assert [outcome.diverged for outcome in outcomes] == [None, 10, None]
    for r in (0, 2):
        _, (alone,) = train([runs[r]])
        for a, b in zip(networks[r].parameters(), alone.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-4, atol=1e-5)
