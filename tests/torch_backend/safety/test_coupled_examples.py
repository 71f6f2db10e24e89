"""Models whose examples see each other: the derivative of the whole batch, or an error."""

from functools import partial

import gradreg_torch as gt
import pytest
import torch
from torch import nn
from torch_backend.safety.common import SEED, Around, BatchNormByHand, Cube, behind, gradients


class MinibatchDeviation(nn.Module):
    def forward(self, x):
        return torch.cat([x, x.std(0).mean().expand(len(x), 1)], dim=1)


class GraphConvolution(nn.Module):
    def forward(self, x):
        return x + x.roll(1, dims=0)


class TimeFirst(nn.Module):
    def __init__(self):
        super().__init__()
        self.lstm = nn.LSTM(4, 3).double()

    def forward(self, x):
        return self.lstm(x[:, None])[0][:, 0]


COUPLED = [BatchNormByHand, MinibatchDeviation, GraphConvolution, TimeFirst]


@pytest.mark.parametrize("layer", COUPLED)
@pytest.mark.parametrize("grad", [True, False])
def test_examples_that_see_each_other(layer, grad, x):
    """Where every example must be a function of itself alone, coupling of any kind is refused."""
    model, r = behind(layer), torch.randn(6, 3, 1, dtype=torch.float64)
    with torch.set_grad_enabled(grad):
        model(x)
        for call in (
            partial(gt.frobreg, model, x),
            partial(gt.jacreg, model, x),
            partial(gt.spectreg, model, x, probes=r[:1], shared_probe=True),
            partial(gt.spectreg, model, x, probes=r, batchnorm="error"),
            partial(gt.spectreg, model, x, probes=r, batchnorm="eval"),
        ):
            with pytest.raises(ValueError, match="examples depend on each other"):
                call()


@pytest.mark.parametrize("layer", COUPLED)
def test_the_derivative_of_the_whole_batch(layer, x):
    """With batchnorm="batch" a penalty that draws its own R is that of the batch as a whole."""
    model, r = behind(layer), torch.randn(6, 3, 1, dtype=torch.float64)
    model(x)
    J = torch.autograd.functional.jacobian(model, x)  # (n, k, n, i)
    expected = torch.einsum("nk,nkbi->bi", r[:, :, 0], J).square().sum() / 6
    torch.testing.assert_close(gt.spectreg(model, x, probes=r), expected)


@pytest.mark.parametrize("layer", COUPLED)
def test_differences_know_that_examples_see_each_other(layer, x):
    model, r = behind(layer), torch.randn(6, 3, 1, dtype=torch.float64)
    model(x)
    found = [
        gradients(gt.spectreg(model, x, probes=r, mode=mode), model)
        for mode in ("reverse", "finite_difference")
    ]
    torch.testing.assert_close(*found, rtol=1e-7, atol=1e-7)
    with pytest.raises(ValueError, match="expected reduction='mean' or 'sum'"):
        gt.spectreg(model, x, probes=r, mode="finite_difference", reduction="none")


def ghost_batch_norm(groups, axis):
    """Batch norm over groups of the batch, as in large-batch training; or dealt out to them."""

    def normed(x):
        parts = x.unflatten(0, (groups, -1))
        deviation = (parts.var(axis, keepdim=True) + 1e-5).sqrt()
        return ((parts - parts.mean(axis, keepdim=True)) / deviation).flatten(0, 1)

    return normed


def reads(i, j):
    """Example i sees example j, and no other pair is coupled."""

    def coupled(x):
        return torch.cat([x[:i], x[i : i + 1] + x[j : j + 1], x[i + 1 :]])

    return coupled


PARTLY_COUPLED = {
    **{f"{k} groups": (32, ghost_batch_norm(k, 1)) for k in (2, 4, 16)},
    **{f"every {k}th": (32, ghost_batch_norm(32 // k, 0)) for k in (2, 4, 16)},
    **{f"rolled by {s}": (8, lambda x, s=s: x + x.roll(s, dims=0)) for s in range(1, 8)},
    **{f"{i} sees {j}": (9, reads(i, j)) for i in range(9) for j in range(9) if i != j},
}


@pytest.mark.parametrize("name", PARTLY_COUPLED)
def test_any_two_examples_that_see_each_other(name):
    """Products that are zero in every second example did not see a roll by 2, nor groups."""
    (n, layer), last = PARTLY_COUPLED[name], nn.Linear(4, 3).double()
    x = torch.randn(n, 4, generator=torch.Generator().manual_seed(SEED), dtype=torch.float64)
    for mode in ("reverse", "forward"):
        with pytest.raises(ValueError, match="examples depend on each other"):
            gt.frobreg(lambda x: last(layer(x)), x, mode=mode)


@pytest.mark.parametrize("layer", COUPLED)
@pytest.mark.parametrize("policy", ["error", "eval"])
def test_forward_mode_knows_that_examples_see_each_other(layer, policy, x):
    """It believed that they do not, unless torch's batch norm said so."""
    model, V = behind(layer), torch.randn(6, 4, 1, dtype=torch.float64)
    model(x)
    for call in (
        partial(gt.frobreg, model, x, mode="forward"),
        partial(gt.jacreg, model, x, mode="forward"),
        partial(gt.spectreg, model, x, probes=V, mode="forward", batchnorm=policy),
    ):
        with pytest.raises(ValueError, match="examples depend on each other"):
            call()
    J = torch.autograd.functional.jacobian(model, x)  # (n, k, n, i)
    expected = torch.einsum("nkbi,bi->nk", J, V[:, :, 0]).square().sum() / 6
    torch.testing.assert_close(gt.spectreg(model, x, probes=V, mode="forward"), expected)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 6, 7, 20, 21, 50, 257])
def test_sets_that_separate_any_two_examples(n):
    sets = gt._engine.columns.separating(n, torch.device("cpu"))
    assert sets.shape[1] == n
    assert sets.any(1).all()
    first_alone = (sets[:, :, None] & ~sets[:, None]).any(0)
    assert torch.equal(first_alone, ~torch.eye(n, dtype=torch.bool)) or n == 1


def test_one_example_alone_sees_no_other(x):
    assert gt.frobreg(behind(GraphConvolution), x[:1]) > 0


def test_the_answer_for_one_model_is_not_another_s(x):
    """The same operations with the same parameter: a mean over features, then over the batch."""
    last = nn.Linear(4, 3).double()
    assert gt.frobreg(lambda x: last(x - x.mean(1, keepdim=True)), x) > 0
    with pytest.raises(ValueError, match="examples depend on each other"):
        gt.frobreg(lambda x: last(x - x.mean(0, keepdim=True)), x)


def test_views_of_the_batch_are_told_from_views_of_an_example(x):
    """The same operations on as many axes: groups of features, then groups of examples."""
    last = nn.Linear(4, 3).double()
    assert gt.frobreg(lambda x: last(x.view(6, 2, 2).mean(1).repeat(1, 2)), x) > 0
    with pytest.raises(ValueError, match="examples depend on each other"):
        gt.frobreg(lambda x: last(x.view(2, 3, 4).mean(1).repeat(3, 1)), x)


def test_axes_that_are_exchanged_are_told_apart(x):
    """The same operations on tensors of one shape: features exchanged, then examples."""
    last, cube = nn.Linear(4, 3).double(), x[:4, :, None] * x[:4, None, :]

    def model(x, axes):
        return last(x.transpose(*axes)).flatten(1)

    assert gt.frobreg(lambda x: model(x, (1, 2)), cube) > 0
    with pytest.raises(ValueError, match="examples depend on each other"):
        gt.frobreg(lambda x: model(x, (0, 1)), cube)


def test_batches_of_other_sizes_make_no_new_trial(x, monkeypatch):
    """Sentences of every length would double the cost of every step."""
    made, right = [], gt._engine.trial.try_graph
    monkeypatch.setattr(
        gt._engine.trial, "try_graph", lambda *a: made.append(len(a[0].output)) or right(*a)
    )
    model = Around(torch.tanh)
    for n in (6, 5, 4, 3, 2, 6, 5):
        gt.frobreg(model, x[:n])
    assert made == [6, 5, 3]  # the passes 1, 2 and 4 of any size
    gt.frobreg(model, x[:1])  # one example shows no coupling: a trial of its own
    assert made == [6, 5, 3, 1]


@pytest.mark.parametrize("fault", ["no graph", "coupled"])
def test_a_last_layer_of_zeros_hides_nothing_for_long(fault, x):
    """At the first step J = 0 shows nothing; at the second the trial is made again."""
    model = Around(Cube.apply, beside=False) if fault == "no graph" else behind(BatchNormByHand)
    model(x)
    last = model.last if fault == "no graph" else model[1]
    nn.init.zeros_(last.weight)
    assert gt.frobreg(model, x, mode="reverse") == 0
    nn.init.ones_(last.weight)
    with pytest.raises(ValueError, match=r"Cube|examples depend on each other"):
        gt.frobreg(model, x, mode="reverse")
