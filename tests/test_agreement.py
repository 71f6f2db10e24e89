"""One trajectory: torch, JAX and the reference stay together within rounding, step after step."""

from dataclasses import replace

import numpy as np
import optax
import pytest
from gradreg_experiments.agreement import bound, by_jax, by_numpy, by_torch, run
from gradreg_experiments.agreement.course import OPTIMISERS, PENALTIES, course

pytestmark = pytest.mark.xdist_group("jax")
STEPS = 12


CASES = [(penalty, "sgd") for penalty in PENALTIES] + [("spectreg", o) for o in OPTIMISERS]


@pytest.mark.parametrize(("penalty", "optimiser"), dict.fromkeys(CASES))
def test_every_penalty_keeps_together(penalty, optimiser):
    """The small network with all three, at every step."""
    for comparison in run.compare("small", penalty, optimiser, STEPS):
        assert 0 < comparison.share <= 1, comparison.row


def test_the_paper_s_network_keeps_together():
    (comparison,) = run.compare("paper", "spectreg", "adam", STEPS)
    assert 0 < comparison.share <= 1, comparison.row


def share(changed, train):
    """How far a run of a changed course leaves the bound of the right one."""
    right = course("doubleback of classes", "adam", "small", STEPS)
    reference = by_torch.train(right)
    limit = bound.rounding_bound(right, reference)
    apart = bound.differences(reference, train(changed(right)))
    return run.Comparison("small", "doubleback", "adam", "changed", apart, limit).share


def halved(c):
    return replace(c, penalised=c.penalised._replace(lam=c.penalised.lam / 2))


def test_it_can_fail(monkeypatch):
    """A ½, a β₂, an ε, a probe of another seed, float32: each leaves the bound at once."""
    assert share(lambda c: c, by_numpy.train) <= 1
    assert share(halved, by_numpy.train) > 1e6
    monkeypatch.setitem(by_jax.OPTIMISERS, "adam", lambda lr: optax.adam(lr, eps=1.01e-8))
    assert share(lambda c: c, by_jax.train) > 1e3
    monkeypatch.setitem(by_jax.OPTIMISERS, "adam", lambda lr: optax.adam(lr, b2=0.99))
    assert share(lambda c: c, by_jax.train) > 1e6


def test_other_probes_leave_the_bound():
    one = course("spectreg", "sgd", "small", STEPS)
    other = [
        b._replace(random={"probes": np.roll(b.random["probes"], 1, axis=0)}) for b in one.batches
    ]
    reference = by_torch.train(one)
    apart = bound.differences(reference, by_torch.train(replace(one, batches=other)))
    assert (apart.theta > 1e6 * bound.rounding_bound(one, reference).theta).any()


def test_a_nudge_moves_in_proportion():
    """The bound rests on it: twice the nudge, twice the difference."""
    one = course("jacreg", "adam", "small", STEPS)
    run_ = by_torch.train(one)
    small, large = (
        bound.differences(
            run_, by_torch.train(one, nudge=size, rng=np.random.default_rng(0))
        ).theta[-1]
        for size in (2.0**-40, 2.0**-39)
    )
    assert large / small == pytest.approx(2, rel=1e-2)


def test_the_command_writes_what_it_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(run, "PENALTIES", {"onehot": PENALTIES["onehot"]})
    assert run.run(tmp_path, 3) == 0
    rows = (tmp_path / "agree.csv").read_text().splitlines()
    assert rows[0] == (
        "network,penalty,optimiser,other,steps,loss_apart,penalty_apart,theta_apart,share_of_bound"
    )
    assert rows[1].startswith("small,onehot,sgd,jax,3,")
    assert len(rows) == 1 + 2 * 2 + 2
    assert {p.suffix for p in tmp_path.iterdir()} == {".csv", ".json", ".png", ".svg"}
    assert "onehot" in capsys.readouterr().out


def test_steps_must_be_a_number_of_steps(tmp_path):
    with pytest.raises(ValueError, match="--steps"):
        run.run(tmp_path, 0)
