"""One training run: what is minimised, and how it ends."""

from dataclasses import replace

import pytest
import torch
from gradreg_experiments.common import learning_rate
from gradreg_experiments.runs import train, training
from gradreg_experiments.runs.draws import Batches, generator
from gradreg_experiments.runs.images import images_of
from gradreg_experiments.runs.trainer import Trainer
from runs.common import RUN, double
from torch.nn import functional as F


def jacobians(f, x):
    """J (n, k, i), example by example."""
    rows = [torch.func.jacrev(lambda a: f(a[None])[0])(a).flatten(1) for a in x]
    return torch.stack(rows)


@pytest.mark.parametrize("law", ["scripts", "he"])
def test_the_weights_at_the_start_are_of_the_law_that_the_run_names(law):
    run = replace(RUN, initialisation=law)
    filters = Trainer([run], [images_of(run, None)]).model[6].weight
    assert (filters.var().item() > 3e-3) == (law == "he")  # 2 / 400, or 4 / 3400


PENALISED = {
    "spectreg": lambda J, z, y, r: (J.mT @ r).square().sum((1, 2)),
    "doubleback": lambda J, z, y, r: (
        (J.mT @ (z.softmax(1) - F.one_hot(y, 10))[:, :, None]).square().sum((1, 2))
    ),
    "onehot": lambda J, z, y, r: J[torch.arange(len(y)), y].square().sum(1),
    "frobreg": lambda J, z, y, r: J.square().sum((1, 2)),
}


@pytest.mark.parametrize("penalty", PENALISED)
def test_a_run_minimises_what_its_description_says(penalty):
    run = replace(RUN, penalty=penalty, lam=0.3, confidence=0.2)
    trainer = double([run])
    x, y = trainer.draws.batch(4)
    r = trainer.draws.probes(4)
    z = trainer.model(x)
    p = z.softmax(1)
    values = PENALISED[penalty](jacobians(trainer.model, x), z, y[0], r)
    entropy = (p * p.log()).sum(1).mean()
    expected = F.cross_entropy(z, y[0]) + 0.3 * values.mean() + 0.2 * entropy
    torch.testing.assert_close(trainer.objective(x, y, r), expected, rtol=1e-10, atol=0)


def test_with_unlabelled_images_the_penalty_is_the_mean_over_both():
    run = replace(RUN, penalty="spectreg", lam=0.3, unlabelled=40)
    trainer = double([run])
    x, y = trainer.draws.batch(0)
    r = trainer.draws.probes(0)
    assert len(x) == 24
    assert y.shape == (1, 12)
    values = PENALISED["spectreg"](jacobians(trainer.model, x), None, None, r)
    expected = F.cross_entropy(trainer.model(x[:12]), y[0]) + 0.3 * values.mean()
    torch.testing.assert_close(trainer.objective(x, y, r), expected, rtol=1e-10, atol=0)


def test_weight_decay_is_of_matrices_and_filters_alone():
    plain, decayed = (
        double([replace(RUN, optimiser="nesterov", weight_decay=wd)]) for wd in (0.0, 0.01)
    )
    before = [p.detach().clone() for p in plain.model.parameters()]
    for trainer in (plain, decayed):
        trainer.step(0)
    pairs = zip(before, plain.model.parameters(), decayed.model.parameters(), strict=True)
    for start, p, q in pairs:
        # Nesterov's first step is (1 + 0.9) times the gradient.
        expected = 1e-3 * 1.9 * 0.01 * start if p.ndim > 1 else torch.zeros_like(p)
        torch.testing.assert_close(p - q, expected, rtol=1e-9, atol=1e-15)


def test_learning_rate_drops_at_a_half_and_three_quarters():
    rates = [learning_rate(1e-3, t, 20) for t in range(20)]
    assert rates == pytest.approx([1e-3] * 10 + [1e-4] * 5 + [1e-5] * 5)


def test_an_epoch_has_every_row_once():
    batches = Batches(3, "batches", 60, 12)
    rows = torch.cat([batches[t] for t in range(5)])
    assert rows.sort().values.equal(torch.arange(60))
    assert not rows.equal(torch.cat([batches[t] for t in range(5, 10)]))
    assert batches[2].equal(Batches(3, "batches", 60, 12)[2])


def test_streams_differ_by_seed_purpose_and_step():
    draws = {
        torch.rand(1, generator=generator(seed, purpose, step)).item()
        for seed in (0, 1)
        for purpose in ("dropout", "probes")
        for step in (0, 1)
    }
    assert len(draws) == 8


def test_a_loss_that_is_not_finite_ends_the_run():
    (outcome,), _ = train([replace(RUN, learning_rate=1e30, optimiser="nesterov")])
    assert outcome.diverged == 20
    assert outcome.test < 0.2


def test_nan_logits_are_never_right():
    z = torch.tensor([[float("nan")] * 3, [0.0, 1.0, 2.0]])
    assert training.place(z, torch.tensor([0, 2])).tolist() == [2, 0]


def test_a_run_that_is_lost_in_its_last_step_has_diverged():
    (outcome,), _ = train([replace(RUN, learning_rate=1e30, iterations=1)])
    assert outcome.diverged == 1


def test_half_precision_in_forward_mode():
    """Probes of the inputs have their dtype, not autocast's."""
    train([replace(RUN, penalty="spectreg", amp="bfloat16", options={"mode": "forward"})])


def test_a_confidence_penalty_beyond_all_bounds_diverges():
    (outcome,), _ = train([replace(RUN, confidence=1e308)])
    assert outcome.diverged == 20
