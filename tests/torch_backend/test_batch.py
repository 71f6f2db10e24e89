"""`batch=`: an example is a graph, which has several rows of x and one row of logits."""

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from torch import nn

SIZES = (3, 1, 0, 4, 2)  # nodes; one graph has none
B, M = len(SIZES), 3
ORDER = torch.randperm(sum(SIZES), generator=torch.Generator().manual_seed(2))
BATCH = torch.repeat_interleave(torch.arange(B), torch.tensor(SIZES))[ORDER]  # not sorted
SAME = BATCH[:, None] == BATCH[None]
EDGES = torch.triu(SAME, 1).nonzero().T  # inside a graph
X = torch.randn(len(BATCH), 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Y = torch.tensor([0, 2, 1, 1, 0])
PROBES = torch.randn(B, M, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def added(rows, where, n):
    return rows.new_zeros(n, rows.shape[1]).index_add(0, where, rows)


class Messages(nn.Module):
    """Two steps of message passing, and the mean of a graph's nodes."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(4, 5), nn.Linear(5, 5)
        self.last = nn.Linear(5, M)

    def forward(self, x, edges, batch):
        h = torch.tanh(self.first(x))
        h = torch.tanh(self.second(h + added(h[edges[0]], edges[1], len(h))))
        count = torch.bincount(batch, minlength=B).clamp_min(1)[:, None]
        return self.last(added(h, batch, B) / count)


torch.manual_seed(0)
MODEL = Messages().double()
INPUTS = (X, EDGES, BATCH)


def explicit(R):
    """‖J_bᵀR_b‖² of every graph b, from the whole Jacobian."""
    J = torch.autograd.functional.jacobian(lambda x: MODEL(x, EDGES, BATCH), X, create_graph=True)
    own = J * (BATCH[None] == torch.arange(B)[:, None])[:, None, :, None]
    assert torch.equal(own, J)  # no graph sees another
    return torch.einsum("nkri,nkq->nriq", J, R).square().sum((1, 2, 3))


def softmax_jacobian(z):
    p = z.softmax(1)
    return torch.diag_embed(p) - p[:, :, None] * p[:, None]


def logits():
    return MODEL(*INPUTS)


E_Y = F.one_hot(Y, M).double()
CASES = {
    "frobreg": (gt.frobreg, {}, lambda: torch.eye(M).double().expand(B, M, M)),
    "spectreg": (gt.spectreg, {"probes": PROBES}, lambda: PROBES / 2**0.5),
    "doubleback": (gt.doubleback, {"y": Y}, lambda: (logits().softmax(1) - E_Y)[:, :, None]),
    "jacreg": (gt.jacreg, {}, lambda: softmax_jacobian(logits())),
    "projected": (
        gt.jacreg,
        {"probes": PROBES},
        lambda: softmax_jacobian(logits()) @ PROBES / 2**0.5,
    ),
    "onehot": (gt.onehot, {"y": Y}, lambda: E_Y[:, :, None]),
    "contract": (gt.contract, {"R": PROBES}, lambda: PROBES),
}


def gradient(values, weights):
    """Of a weighted sum, so that each value counts."""
    found = torch.autograd.grad((weights * values).sum(), [*MODEL.parameters()], allow_unused=True)
    parameters = MODEL.parameters()
    return [torch.zeros_like(p) if a is None else a for a, p in zip(found, parameters, strict=True)]


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("mode", ["auto", "finite_difference", "one_sided_difference"])
def test_values_and_gradients_are_those_of_the_explicit_jacobian(name, mode):
    fn, options, R = CASES[name]
    got = fn(MODEL, INPUTS, **options, batch=BATCH, reduction="none", mode=mode)
    expected, weights = explicit(R()), torch.arange(1.0, B + 1)
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)
    assert got[SIZES.index(0)] == 0  # no rows, no inputs, no gradient
    off = {"auto": 1e-12, "finite_difference": 1e-7, "one_sided_difference": 1e-5}[mode]
    for a, b in zip(gradient(got, weights), gradient(expected, weights), strict=True):
        torch.testing.assert_close(a, b, rtol=off, atol=off)


@pytest.mark.parametrize(("reduction", "n"), [("mean", B), ("sum", 1)])
def test_mean_and_sum_are_over_graphs(reduction, n):
    each = gt.frobreg(MODEL, INPUTS, batch=BATCH, reduction="none")
    total = gt.frobreg(MODEL, INPUTS, batch=BATCH, reduction=reduction)
    torch.testing.assert_close(total, each.sum() / n, rtol=1e-14, atol=0)


def test_objective_and_modules():
    penalty = gt.SpectReg(probes=PROBES)
    loss, value, z = gt.objective(MODEL, INPUTS, Y, penalty, batch=BATCH)
    torch.testing.assert_close(loss, F.cross_entropy(logits(), Y))
    torch.testing.assert_close(value, penalty(MODEL, INPUTS, batch=BATCH))
    assert z.shape == (B, M)
    lazy = gt.FrobReg(every=2)
    steps = [gt.objective(MODEL, INPUTS, Y, lazy, batch=BATCH).penalty for _ in range(2)]
    torch.testing.assert_close(steps[0], 2 * gt.frobreg(MODEL, INPUTS, batch=BATCH))
    assert steps[1] == 0
    with torch.no_grad():
        assert gt.objective(MODEL, INPUTS, Y, penalty, batch=BATCH).penalty == value


def test_logits_in_place_of_the_model():
    x = X.clone().requires_grad_()
    z = MODEL(x, EDGES, BATCH)
    value = gt.frobreg(z, x, batch=BATCH, reduction="none")
    expected = gt.frobreg(MODEL, INPUTS, batch=BATCH, reduction="none")
    torch.testing.assert_close(value, expected, rtol=1e-14, atol=0)


def test_two_inputs_of_a_node():
    def model(x, position):
        return MODEL(torch.cat([x, position], 1), EDGES, BATCH)

    parts = (X[:, :1], X[:, 1:])
    value = gt.frobreg(model, parts, wrt=(0, 1), batch=BATCH, reduction="none")
    torch.testing.assert_close(
        value, gt.frobreg(MODEL, INPUTS, batch=BATCH, reduction="none"), rtol=1e-13, atol=0
    )


def test_compiled():
    def step(x):
        return gt.frobreg(
            lambda x: MODEL(x, EDGES, BATCH), x, mode="reverse", batch=BATCH, reduction="none"
        )

    compiled = torch.compile(step, fullgraph=True, backend="aot_eager")
    torch.testing.assert_close(compiled(X), step(X), rtol=1e-12, atol=0)


def test_a_check_of_a_network_of_graphs():
    report = gt.check_model(MODEL, INPUTS, Y, gt.SpectReg(probes=PROBES, batch=BATCH))
    assert report.ok, report
    assert report["gradient"].right is True, report
    assert report["examples"].right is True, report


def between(x, edges, batch):
    """Every node sees the mean of the whole batch."""
    return MODEL(x - torch.tanh(x).mean(0), edges, batch)


@pytest.mark.parametrize("fn", [gt.frobreg, gt.spectreg])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_graphs_that_see_each_other_are_refused(fn, reduction):
    options = {"probes": PROBES} if fn is gt.spectreg else {}
    with pytest.raises(ValueError, match="expected each row of x to reach the logits of its own"):
        fn(between, INPUTS, batch=BATCH, reduction=reduction, **options)


@pytest.mark.parametrize("pair", [(0, 4), (0, 1), (0, 3), (1, 3), (3, 4)])
def test_another_batch_than_the_model_s_is_refused(pair):
    """With "none" at every step, also after the model was tried with the right one."""
    a, b = pair
    right, wrong = BATCH, BATCH.clone()
    wrong[(right == a).nonzero()[0]] = b
    gt.spectreg(MODEL, INPUTS, probes=PROBES, batch=right, reduction="none")
    with pytest.raises(ValueError, match="pass the batch that the model pools by"):
        gt.spectreg(MODEL, INPUTS, probes=PROBES, batch=wrong, reduction="none")


def test_batch_norm_over_nodes_has_the_policies_of_any_batch_norm():
    norm = nn.BatchNorm1d(4).double()

    def normed(x, edges, batch):
        return MODEL(norm(x), edges, batch)

    with pytest.raises(ValueError, match="batchnorm='eval'"):
        gt.frobreg(normed, INPUTS, batch=BATCH)
    assert gt.frobreg(normed, INPUTS, batch=BATCH, batchnorm="eval") > 0
    assert gt.spectreg(normed, INPUTS, batch=BATCH, probes=PROBES) > 0


BAD = {
    "expected batch to be a tensor of torch.int64 with shape (10,), the example that each row of x "
    "belongs to, got torch.int32 of shape (10,)": BATCH.int(),
    "got torch.float64 of shape (10,)": BATCH.double(),
    "got torch.int64 of shape (9,)": BATCH[1:],
    "got torch.int64 of shape (10, 1)": BATCH[:, None],
    "got list": BATCH.tolist(),
    "expected batch >= 0, got -1": BATCH - 1,
    "expected batch < 5, as the model returned logits of 5 examples, got 5": BATCH + 1,
    "expected batch on cpu like x, got meta": BATCH.to("meta"),
}


@pytest.mark.parametrize("message", BAD)
def test_what_is_no_batch_is_refused(message):
    for call in (
        lambda: gt.frobreg(MODEL, INPUTS, batch=BAD[message]),
        lambda: gt.objective(MODEL, INPUTS, Y, gt.FrobReg(), batch=BAD[message]),
    ):
        with pytest.raises((TypeError, ValueError)) as error:
            call()
        assert message in str(error.value)


def g():
    return torch.Generator().manual_seed(0)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: gt.frobreg(MODEL, INPUTS), "pass batch=, the example of each row"),
        (lambda: gt.frobreg(MODEL, INPUTS, batch=BATCH, mode="forward"), "expected mode='reverse'"),
        (
            lambda: gt.SpectReg(fraction=0.5, generator=g())(MODEL, INPUTS, batch=BATCH),
            "expected fraction=1 with batch",
        ),
        (
            lambda: gt.FrobReg(every=2, reduction="none")(MODEL, INPUTS, batch=BATCH),
            "expected reduction='mean' or 'sum' with every and batch",
        ),
        (
            lambda: gt.objective(MODEL, INPUTS, Y, gt.FrobReg(), unlabelled=INPUTS, batch=BATCH),
            "expected batch without unlabelled",
        ),
    ],
)
def test_refusals(call, message):
    with pytest.raises(ValueError, match=message):
        call()
