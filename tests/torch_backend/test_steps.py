"""Penalties over training steps: every, fraction, saved state, schedules, unlabelled inputs."""

import copy
import io
from itertools import combinations

import gradreg_torch as gt
import numpy as np
import pytest
import torch
from gradreg_torch._subset import Subset, taken
from torch import nn

from gradreg_ref import moments

X = torch.randn(5, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 0, 1])
R = torch.randn(5, 3, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)


def rng(seed=0):
    return torch.Generator().manual_seed(seed)


def mlp(*layers):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), *layers, nn.Tanh(), nn.Linear(5, 3)).double()


def gradient(value, model):
    gradients = torch.autograd.grad(
        value, list(model.parameters()), allow_unused=True, materialize_grads=True
    )
    return torch.cat([g.flatten() for g in gradients])


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_every_k_steps_the_penalty_times_k(reduction):
    model, penalty = mlp(), gt.FrobReg(every=3, reduction=reduction)
    whole = gt.frobreg(model, X, reduction=reduction)
    values = [penalty(model, X) for _ in range(7)]
    for step, value in enumerate(values):
        expected = 3 * whole if step % 3 == 0 else 0 * whole
        assert torch.equal(value, expected.detach() if step % 3 else expected)
    torch.testing.assert_close(sum(values[:3]) / 3, whole)


def test_every_counts_training_steps_only():
    model, penalty = mlp(), gt.FrobReg(every=2)
    with torch.no_grad():
        values = [penalty(model, X) for _ in range(3)]
    penalty.eval()
    values += [penalty(model, X), gt.objective(model, X, Y, penalty).penalty]
    assert all(torch.equal(v, gt.frobreg(model, X)) for v in values)
    assert penalty.step == 0
    penalty.train()
    assert torch.equal(penalty(model, X), 2 * gt.frobreg(model, X))


def test_every_in_the_objective():
    model, penalty = mlp(), gt.SpectReg(every=2, generator=rng())
    first, second = (gt.objective(model, X, Y, penalty) for _ in range(2))
    assert torch.equal(first.penalty, 2 * gt.spectreg(model, X, generator=rng()))
    assert second.penalty == 0
    assert torch.equal(first.loss, second.loss)
    assert torch.equal(first.logits, second.logits)


def all_subsets(monkeypatch, k, run):
    """What `run` gives for every set of k examples."""
    found = []
    for rows in combinations(range(5), k):
        rest = [b for b in range(5) if b not in rows]
        part = [torch.tensor(rows), torch.tensor(rest, dtype=torch.long)]

        def drawn(x, first, fraction, generator, part=part):
            return Subset(*part, *(taken(x, p, 5) for p in part))

        monkeypatch.setattr(Subset, "drawn", drawn)
        found.append(run())
    return torch.stack(found)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
@pytest.mark.parametrize("k", [1, 2, 4])
def test_a_fraction_is_unbiased_with_the_variance_stated(k, reduction, monkeypatch):
    """By all subsets: mean, variance and mean gradient, exactly."""
    model = mlp()
    penalty = gt.SpectReg(fraction=k / 5, generator=rng(), reduction=reduction)
    whole = gt.spectreg(model, X, probes=R, reduction=reduction)
    values = all_subsets(monkeypatch, k, lambda: penalty(model, X, probes=R))
    torch.testing.assert_close(values.mean(), whole, rtol=1e-13, atol=0)
    P = gt.spectreg(model, X, probes=R, reduction="none").detach().numpy()
    factor = 25 if reduction == "sum" else 1
    np.testing.assert_allclose(
        values.detach().numpy().var(), factor * moments.fraction_variance(P, k), rtol=1e-12
    )
    gradients = all_subsets(monkeypatch, k, lambda: gradient(penalty(model, X, probes=R), model))
    torch.testing.assert_close(gradients.mean(0), gradient(whole, model), rtol=1e-12, atol=1e-14)


def test_noise_of_probes_adds_to_that_of_a_fraction():
    """Signs and subsets, all of them: Var = (1 − k/n) S²/k + v̄/k."""
    A = np.array([[[2.0, 1.0], [1.0, 3.0]], [[1.0, 0.5], [0.5, 0.0]], [[4.0, 2.0], [2.0, 1.0]]])
    signs = np.array([[1, 1], [1, -1]])
    each = np.einsum("sk,nkl,sl->ns", signs, A, signs)
    values = [
        (each[a, s] + each[b, t]) / 2
        for a, b in combinations(range(3), 2)
        for s in (0, 1)
        for t in (0, 1)
    ]
    expected = moments.fraction_variance(moments.mean(A), 2, moments.variance(A, "rademacher"))
    assert np.var(values) == pytest.approx(expected, rel=1e-13)


def test_the_variance_of_a_fraction_refuses():
    with pytest.raises(ValueError, match="expected P with shape"):
        moments.fraction_variance(np.ones((2, 2)), 1)
    with pytest.raises(ValueError, match="k <= n"):
        moments.fraction_variance(np.ones(2), 3)
    assert moments.fraction_variance(np.ones(1), 1) == 0


def test_the_objective_of_a_fraction_is_that_of_the_batch(monkeypatch):
    model = mlp()
    penalty = gt.SpectReg(fraction=0.4, generator=rng(3))
    step = gt.objective(model, X, Y, penalty)
    whole = gt.objective(model, X, Y, gt.SpectReg(generator=rng()))
    torch.testing.assert_close(step.logits, whole.logits, rtol=1e-13, atol=1e-15)
    torch.testing.assert_close(step.loss, whole.loss, rtol=1e-13, atol=0)
    alone = gt.SpectReg(fraction=0.4, generator=rng(3))(model, X)
    torch.testing.assert_close(step.penalty, alone, rtol=1e-13, atol=0)
    labelled = gt.objective(model, X, Y, gt.DoubleBack(fraction=0.4, generator=rng(3)))
    expected = gt.DoubleBack(fraction=0.4, generator=rng(3))(model, X, Y)
    torch.testing.assert_close(labelled.penalty, expected, rtol=1e-13, atol=0)


def test_options_of_the_call_win_with_a_fraction():
    """Red, too small by 5/2, where the scale is that of the options kept."""
    kept = gt.FrobReg(fraction=0.4, generator=rng(3), reduction="sum")(mlp(), X)
    given = gt.FrobReg(fraction=0.4, generator=rng(3))(mlp(), X, reduction="sum")
    assert torch.equal(given, kept)
    penalty = gt.FrobReg(fraction=0.4, generator=rng(3))
    with pytest.raises(ValueError, match="expected reduction='mean' or 'sum' with fraction"):
        penalty(mlp(), X, reduction="none")
    with torch.no_grad():  # the whole penalty
        assert torch.equal(
            penalty(mlp(), X, reduction="none"), gt.frobreg(mlp(), X, reduction="none")
        )


def test_a_fraction_of_more_unlabelled_inputs_than_labels():
    """Red, an index out of range, where their part is taken of the labels too."""
    more, penalty = torch.cat([X, X + 1, X - 1]), gt.FrobReg(fraction=0.4, generator=rng(3))
    step = gt.objective(mlp(), X, Y, penalty, unlabelled=more)
    assert torch.equal(step.penalty, gt.FrobReg(fraction=0.4, generator=rng(3))(mlp(), more))


def test_a_fraction_of_dicts_and_tuples():
    W = torch.ones(4, 3, dtype=torch.float64)
    by_tensor = gt.FrobReg(fraction=0.4, generator=rng())(lambda x: (x @ W) ** 2, X)
    by_dict = gt.FrobReg(fraction=0.4, generator=rng())(lambda x: (x @ W) ** 2, {"x": X})
    by_tuple = gt.FrobReg(fraction=0.4, generator=rng())(lambda x: (x @ W) ** 2, (X,))
    assert by_tensor == by_dict == by_tuple


def test_every_example_is_as_likely():
    g, counts = rng(), torch.zeros(5)
    for _ in range(2000):
        counts[Subset.drawn(X, X, 0.4, g).rows] += 1
    # 2000 draws of 2 in 5: mean 800, standard deviation 22; five of them.
    assert (counts - 800).abs().max() < 110


REFUSED = {
    "fraction of 0": (
        lambda: gt.FrobReg(fraction=0, generator=rng()),
        r"fraction in \(0, 1\], got 0",
    ),
    "fraction, no generator": (lambda: gt.FrobReg(fraction=0.5), "expected generator=torch.Gen"),
    "fraction of values": (
        lambda: gt.FrobReg(fraction=0.5, generator=rng(), reduction="none"),
        "expected reduction='mean' or 'sum' with fraction",
    ),
    "fraction of logits": (
        lambda: gt.FrobReg(fraction=0.5, generator=rng())(mlp()(X), X),
        "expected a model, because fraction runs the model on a part of the batch, got logits",
    ),
    "fraction through batch norm": (
        lambda: gt.objective(
            mlp(nn.BatchNorm1d(5)), X, Y, gt.FrobReg(fraction=0.5, generator=rng())
        ),
        "got batch norm in training mode",
    ),
    "a generator of nothing": (lambda: gt.FrobReg(generator=rng()), "it draws nothing"),
    "every half step": (lambda: gt.FrobReg(every=0.5), "expected every to be a whole number"),
    "labels of unlabelled inputs": (
        lambda: gt.objective(mlp(), X, Y, gt.DoubleBack(), unlabelled=X),
        "expected a penalty without labels",
    ),
    "a negative weight": (lambda: gt.Linear(0, -1, 10), "expected end to be a finite weight"),
    "no steps": (lambda: gt.Linear(0, 1, 0), "expected steps to be a whole number"),
    "a weight that is none": (lambda: gt.Constant(float("nan")), "expected value to be a finite"),
    "a negative seed": (lambda: gt.rank_generator(-1), "expected seed to be a whole number"),
    "a weight that is text": (
        lambda: gt.Constant("x"),
        "expected value to be a finite weight >= 0",
    ),
    "a weight that is a yes": (lambda: gt.Constant(True), "expected value to be a finite weight"),
    "a weight beyond floats": (
        lambda: gt.Constant(10**400),
        "expected value to be a finite weight",
    ),
    "a beginning that is text": (lambda: gt.Linear(0, 1, 2, begin="x"), "expected begin to be"),
    "a rank that is text": (lambda: gt.rank_generator(0, rank="a"), "expected rank to be a whole"),
    "a device of nobody": (
        lambda: gt.rank_generator(0, device="nope"),
        "expected the device of the logits, .* got 'nope'",
    ),
    "a device without a generator": (
        lambda: gt.rank_generator(0, device="meta"),
        "expected the device of the logits, .* got 'meta'",
    ),
    "integer probes": (
        lambda: gt.draw_probes("gaussian", 1, 2, generator=rng(), dtype=torch.int64),
        "expected dtype to be a real floating torch.dtype, got torch.int64",
    ),
    "laws in a list": (
        lambda: gt.spectreg(mlp(), X, probe=["sphere"], generator=rng()),
        "expected probe to be one of",
    ),
    "probes without a generator": (
        lambda: gt.draw_probes("gaussian", 1, 2, generator=None),
        "expected generator=torch.Generator",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    attempt, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message):
        attempt()


def train(model, penalty, optimiser, steps):
    for _ in range(steps):
        optimiser.zero_grad()
        step = gt.objective(model, X, Y, penalty)
        (step.loss + 0.1 * step.penalty).backward()
        optimiser.step()


def parts(seed):
    model = mlp()
    penalty = gt.SpectReg(every=3, fraction=0.6, generator=rng(seed))
    return model, penalty, torch.optim.Adam(model.parameters(), lr=0.05)


def test_a_resumed_run_goes_on_bit_for_bit():
    model, penalty, _ = through = parts(7)
    train(*through, 4)
    saved = io.BytesIO()
    torch.save([part.state_dict() for part in through], saved)
    train(*through, 5)
    resumed = parts(8)  # another seed: the state is loaded
    saved.seek(0)
    for part, state in zip(resumed, torch.load(saved, weights_only=True), strict=True):
        part.load_state_dict(state)
    train(*resumed, 5)
    for a, b in zip(model.parameters(), resumed[0].parameters(), strict=True):
        assert torch.equal(a, b)
    assert penalty.step == resumed[1].step == 9


def test_the_state_is_made_of_tensors_and_is_none_where_there_is_none():
    """As safetensors needs it; and a checkpoint from before the penalty loads."""
    state = parts(7)[1].state_dict()
    assert {name: type(value) for name, value in state.items()} == {
        "generator": torch.Tensor,
        "step": torch.Tensor,
    }
    assert not gt.FrobReg().state_dict()
    assert list(gt.SpectReg(generator=rng(1)).state_dict()) == ["generator"]


def test_a_state_of_another_penalty_gets_a_sentence():
    penalty = parts(7)[1]
    state = penalty.state_dict()
    with pytest.raises(RuntimeError, match=r'Unexpected key.*"generator", "step"'):
        gt.FrobReg().load_state_dict(state)
    with pytest.raises(RuntimeError, match=r'Missing key.*"step"'):
        penalty.load_state_dict({"generator": state["generator"]})
    for name, value in {"generator": torch.zeros(3), "step": "x", "step ": None}.items():
        with pytest.raises(RuntimeError, match=r"as state_dict.. saved it, got another"):
            penalty.load_state_dict(state | {name.strip(): value})


@pytest.mark.parametrize("step", [1.5, -5, 2.0, torch.inf, torch.nan, True, [1, 2]])
def test_a_step_is_a_whole_number(step):
    """1.5 became 1, and -5 was taken."""
    penalty = gt.FrobReg(every=3)
    for value in (step, torch.tensor(step)):
        with pytest.raises(RuntimeError, match=r"as state_dict.. saved it, got another"):
            penalty.load_state_dict({"step": value})
    assert penalty.step == 0


@pytest.mark.parametrize("form", ["tuple", "dict"])
def test_a_part_leaves_alone_what_is_no_example(form):
    """A table that all examples share, a flag and None were cut with the batch."""
    table, model, n = torch.randn(9, 4, generator=rng(2), dtype=torch.float64), mlp(), len(X)
    seen = []

    def f(x, table, flag=None, ids=None):
        seen.append((len(x), len(table), flag, len(ids)))
        return model(x + table[ids])

    ids = torch.arange(n)
    x = (X, table, None, ids) if form == "tuple" else {"ids": ids, "x": X, "table": table}
    wrt = 0 if form == "tuple" else "x"
    penalty = gt.FrobReg(fraction=0.5, generator=rng(3), wrt=wrt)
    gt.objective(f, x, Y, penalty)  # the first step tries whether ids are cut rightly
    seen.clear()
    got = gt.objective(f, x, Y, penalty)
    torch.testing.assert_close(got.logits, model(X + table[:n]))
    assert {(rows, cut) for rows, _, _, cut in seen} == {(n // 2, n // 2), (n - n // 2, n - n // 2)}
    assert all(shared == 9 for _, shared, _, _ in seen)


@pytest.mark.parametrize("short", [True, False])
def test_a_table_as_long_as_the_batch_is_not_cut(short):
    """Its rows went to other examples, or to none: logits were off by 0.5 without a word."""
    table, model, n = torch.randn(len(X), 4, generator=rng(2), dtype=torch.float64), mlp(), len(X)
    ids = torch.arange(n) % 3 if short else torch.arange(n).flip(0)

    def f(x, table, ids):
        return model(x + table[ids])

    penalty = gt.FrobReg(fraction=0.5, generator=rng(3), wrt=0)
    for call in (
        lambda: gt.objective(f, (X, table, ids), Y, penalty),
        lambda: penalty(f, (X, table, ids)),
    ):
        with pytest.raises(ValueError, match=r"function that holds this input: lambda x: model"):
            call()
    got = gt.objective(lambda x, ids: f(x, table, ids), (X, ids), Y, penalty)
    torch.testing.assert_close(got.logits, f(X, table, ids))


@pytest.mark.parametrize("layer", [nn.Dropout(), nn.Identity()])
def test_masks_beside_x_are_examples(layer):
    """Dropout is no reason to doubt it, and the modes of the parts stay."""
    model, mask = mlp(layer).train(), torch.ones(len(X), 1, dtype=torch.float64)
    penalty = gt.FrobReg(fraction=0.5, generator=rng(3), wrt=0)
    gt.objective(lambda x, mask: model(x * mask), (X, mask), Y, penalty)
    assert all(part.training for part in model.modules())


def test_a_step_without_penalty_has_the_dtype_of_what_is_differentiated():
    """Integer ids first in a dict made an integer zero."""
    penalty = gt.FrobReg(every=2, wrt="x")
    x = {"ids": torch.arange(len(X)), "x": X}

    def run(ids, x):
        return mlp()(x) + 0 * ids[:, None]

    first, second = (penalty(run, x) for _ in range(2))
    assert second == 0
    assert first.dtype == second.dtype


def test_unlabelled_inputs_are_penalised_instead():
    model, U = mlp(nn.BatchNorm1d(5)).train(), X.flip(0) * 2
    statistics = copy.deepcopy(model)
    statistics(X)
    step = gt.objective(model, X, Y, gt.SpectReg(generator=rng()), unlabelled=U)
    assert torch.equal(step.penalty, gt.spectreg(model, U, generator=rng()))
    expected = nn.functional.cross_entropy(copy.deepcopy(model)(X), Y)
    torch.testing.assert_close(step.loss, expected, rtol=1e-14, atol=0)
    for a, b in zip(model.buffers(), statistics.buffers(), strict=True):
        assert torch.equal(a, b)


def test_schedules():
    ramp = gt.Linear(0.0, 1.0, steps=4, begin=2)
    assert [ramp(t) for t in range(8)] == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1]
    assert [gt.Linear(1.0, 0.5, steps=1)(t) for t in range(3)] == [1, 0.5, 0.5]
    assert gt.Constant(0.3)(10) == 0.3


def test_a_generator_of_each_rank():
    first = gt.draw_probes("gaussian", 2, 3, generator=gt.rank_generator(1))
    assert torch.equal(
        first, gt.draw_probes("gaussian", 2, 3, generator=gt.rank_generator(1, rank=0))
    )
    assert not torch.equal(
        first, gt.draw_probes("gaussian", 2, 3, generator=gt.rank_generator(1, rank=1))
    )
    square = gt.draw_probes("orthogonal", 2, 3, 3, generator=rng(), dtype=torch.float64)
    torch.testing.assert_close(square @ square.mT, 3 * torch.eye(3).double().expand(2, 3, 3))
