"""Batch norm in training mode: the definition of each policy, by NumPy alone."""

import copy

import gradreg_torch as gt
import numpy as np
import pytest
import torch
from torch import nn

import gradreg_ref as ref
from gradreg_ref.networks import Activation, BatchNorm, Linear, Network

X = torch.randn(5, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
R = torch.randn(5, 2, 1, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
STEP = 2.0**-200


def network():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.Tanh(), nn.Linear(4, 2)).double()
    with torch.no_grad():
        model[1].running_mean.uniform_()
        model[1].running_var.uniform_(0.5, 2)
    return model.train()


def logits(parameters, x):
    """The network on a whole batch, statistics and all, complex-safe."""
    W, b, scale, shift, V, c = parameters
    h = x @ W.T + b
    centred = h - h.mean(0)
    h = centred / np.sqrt((centred * centred).mean(0) + 1e-5) * scale + shift
    return np.tanh(h) @ V.T + c


def batch_jacobian(parameters, x):
    """∂z_b/∂x_c of all pairs, (b, k, c, i), by complex step."""
    columns = []
    for direction in np.eye(x.size):
        moved = x + 1j * STEP * direction.reshape(x.shape)
        columns.append(logits(parameters, moved).imag / STEP)
    return np.stack(columns, -1).reshape(*columns[0].shape, *x.shape)


def by_definition(parameters, reduction="none"):
    """‖Σ_b r_bᵀ ∂z_b/∂x_c‖² of every example c."""
    J = batch_jacobian(parameters, X.numpy())
    v = np.einsum("bk,bkci->ci", R[:, :, 0].numpy(), J)
    values = (v * v).sum(1)
    return values if reduction == "none" else values.mean()


def numbers(model):
    return [p.detach().numpy().copy() for p in model.parameters()]


MODES = ("reverse", "finite_difference", "auto")


def test_batch_is_the_derivative_of_the_whole_batch():
    model = network()
    got = gt.spectreg(model, X, probes=R, reduction="none", mode="reverse")
    np.testing.assert_allclose(got.detach().numpy(), by_definition(numbers(model)), rtol=1e-12)


@pytest.mark.parametrize("mode", MODES)
def test_its_training_gradient(mode):
    """Along one direction, by differences of fourth order of the NumPy formula."""
    model = network()
    value = gt.spectreg(model, X, probes=R, mode=mode)
    gradients = torch.autograd.grad(
        value, list(model.parameters()), allow_unused=True, materialize_grads=True
    )
    rng = np.random.default_rng(3)
    direction = [rng.standard_normal(p.shape) for p in model.parameters()]

    def at(t):
        moved = [p + t * 1e-4 * d for p, d in zip(numbers(model), direction, strict=True)]
        return by_definition(moved, "mean")

    expected = (8 * (at(1) - at(-1)) - (at(2) - at(-2))) / 12e-4
    slope = sum((g.detach().numpy() * d).sum() for g, d in zip(gradients, direction, strict=True))
    assert slope == pytest.approx(expected, rel=1e-7)


def test_the_expected_sum_is_the_jacobian_of_all_logits_in_all_inputs():
    model = network()
    J = batch_jacobian(numbers(model), X.numpy())
    total = 0.0
    for b in range(5):
        for k in range(2):  # √m e_k of one example at a time: the cross terms have mean zero
            probes = torch.zeros_like(R)
            probes[b, k] = 1
            total += gt.spectreg(model, X, probes=probes, reduction="sum", mode="reverse").item()
    assert total == pytest.approx((J * J).sum(), rel=1e-12)


@pytest.mark.parametrize("mode", [*MODES, "forward"])
def test_eval_is_the_reference_with_running_statistics(mode):
    model = network()
    W, b, scale, shift, last, c = numbers(model)
    statistics = model[1].running_mean.numpy().copy(), model[1].running_var.numpy().copy()
    norm = BatchNorm(scale, shift, *statistics, model[1].eps)
    fixed = Network((Linear(W, b), norm, Activation("tanh"), Linear(last, c)))
    V = torch.randn(5, 3, 1, generator=torch.Generator().manual_seed(4), dtype=torch.float64)
    probes, side = (V, "input") if mode == "forward" else (R, "output")
    got = gt.spectreg(model, X, probes=probes, batchnorm="eval", reduction="none", mode=mode)
    J = fixed.jacobian(X.numpy())
    expected = ref.spectreg(J, probes=probes.numpy(), side=side, reduction="none")
    np.testing.assert_allclose(got.detach().numpy(), expected, rtol=1e-12)
    assert model[1].training
    alone = gt.spectreg(model, X[:1], probes=probes[:1], batchnorm="eval", mode=mode)
    assert alone.item() == pytest.approx(expected[0], rel=1e-12)


def test_eval_in_the_objective_leaves_the_loss_its_statistics():
    model = network()
    expected = nn.functional.cross_entropy(copy.deepcopy(model)(X), torch.tensor([0, 1, 0, 1, 0]))
    before = copy.deepcopy(model)
    step = gt.objective(model, X, torch.tensor([0, 1, 0, 1, 0]), gt.FrobReg(batchnorm="eval"))
    torch.testing.assert_close(step.loss, expected, rtol=1e-13, atol=0)
    # The loss is taken first: its pass has moved the statistics that the penalty uses.
    before(X)
    assert torch.equal(step.penalty, gt.frobreg(before.eval(), X))


def test_eval_in_the_objective_of_a_function_that_hides_its_modules():
    """The loss would have running statistics too, and they would not move."""
    model, y = network(), torch.tensor([0, 1, 0, 1, 0])
    plain = copy.deepcopy(model)
    expected = nn.functional.cross_entropy(plain(X), y)
    step = gt.objective(lambda x: model(x), X, y, gt.FrobReg(batchnorm="eval"))
    torch.testing.assert_close(step.loss, expected, rtol=1e-13, atol=0)
    assert torch.equal(model[1].running_mean, plain[1].running_mean)


@pytest.mark.parametrize("mode", [*MODES, "forward"])
@pytest.mark.parametrize("options", [{}, {"track_running_stats": False}])
def test_error_refuses_what_couples(mode, options):
    model = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4, **options), nn.Linear(4, 2)).double()
    g = torch.Generator().manual_seed(0)
    with pytest.raises(ValueError, match="which couples the examples"):
        gt.spectreg(model, X, batchnorm="error", mode=mode, generator=g)
    if options:
        with pytest.raises(ValueError, match="running statistics where kept"):
            gt.spectreg(model.eval(), X, batchnorm="eval", mode=mode, generator=g)
    else:
        gt.spectreg(model.eval(), X, batchnorm="error", mode=mode, generator=g)


def test_instance_norm_couples_nothing():
    model = nn.Sequential(
        nn.Unflatten(1, (1, 3)), nn.InstanceNorm1d(1), nn.Flatten(), nn.Linear(3, 2)
    )
    gt.frobreg(model.double(), X, batchnorm="error")


def last_but_one():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 2)).double()


def test_one_probe_for_all_sees_nothing_of_batch_norm_before_the_last_layer():
    model = last_but_one()
    one = gt.spectreg(model, X, probes=R[:1].expand(5, 2, 1))
    gradients = torch.autograd.grad(one, list(model.parameters()), allow_unused=True)
    # The sum of B centred values is a rounding error: u · B · m of numbers of order 1, squared.
    assert one.item() < 1e-28
    assert all(g is None or g.abs().max() < 1e-14 for g in gradients)
    assert gt.spectreg(model, X, probes=R).item() > 1e-2


ONE_R = {
    "frobreg": (gt.frobreg, {}),
    "jacreg": (gt.jacreg, {}),
    "spectreg, shared": (gt.spectreg, {"shared_probe": True}),
    "jacreg, shared": (gt.jacreg, {"shared_probe": True, "num_probes": 1}),
}


@pytest.mark.parametrize("name", ONE_R)
@pytest.mark.parametrize("mode", [*MODES, "forward"])
def test_one_R_for_all_is_refused(name, mode):
    function, options = ONE_R[name]
    model = network()
    if options:
        options = options | {"generator": torch.Generator().manual_seed(0)}
    with pytest.raises(ValueError, match="their derivatives cancel"):
        function(model, X, mode=mode, **options)
    with torch.no_grad(), pytest.raises(ValueError, match="their derivatives cancel"):
        function(model, X, mode=mode, **options)
    assert function(model, X, mode=mode, batchnorm="eval", **options) > 0  # the remedy
    assert function(model.eval(), X, mode=mode, **options) > 0


@pytest.mark.parametrize("name", ONE_R)
def test_and_of_logits_and_in_the_objective(name):
    function, options = ONE_R[name]
    model, x, y = network(), X.clone().requires_grad_(), torch.tensor([0, 1, 0, 1, 0])
    if options:
        options = options | {"generator": torch.Generator().manual_seed(0)}
    with pytest.raises(ValueError, match="their derivatives cancel"):
        function(model(x), x, **options)
    penalty = {gt.frobreg: gt.FrobReg, gt.jacreg: gt.JacReg, gt.spectreg: gt.SpectReg}[function]
    for mode in ("auto", "forward"):
        with pytest.raises(ValueError, match="their derivatives cancel"):
            gt.objective(model, X, y, penalty(mode=mode, **options))
    assert gt.objective(model, X, y, penalty(batchnorm="eval", **options)).penalty > 0


def test_and_in_a_compiled_step():
    model = network()
    step = torch.compile(lambda x: gt.frobreg(model, x), fullgraph=True, backend="eager")
    with pytest.raises(Exception, match="their derivatives cancel"):
        step(X)


def test_one_R_for_one_example_is_right():
    """Batch norm over the space of a single example couples no two."""
    layers = nn.Unflatten(1, (1, 3)), nn.BatchNorm1d(1), nn.Flatten(), nn.Linear(3, 2)
    model, x = nn.Sequential(*layers).double(), X[:1].clone().requires_grad_()
    J = torch.stack([torch.autograd.grad(z, x, retain_graph=True)[0] for z in model(x)[0]])
    torch.testing.assert_close(gt.frobreg(model, x), J.square().sum(), rtol=1e-13, atol=0)


@pytest.mark.parametrize("policy", ["eval", "error"])
def test_a_policy_reaches_logits_too(policy):
    """Their pass is made: "eval" would be silently "batch"."""
    model, x = network(), X.clone().requires_grad_()
    remedy = {"eval": "pass the model in their place", "error": "pass batchnorm='batch'"}[policy]
    with pytest.raises(ValueError, match=remedy):
        gt.spectreg(model(x), x, probes=R, batchnorm=policy)
    model.eval()
    assert gt.spectreg(model(x), x, probes=R, batchnorm=policy) > 1e-4


@pytest.mark.parametrize("mode", ["reverse", "finite_difference"])
@pytest.mark.parametrize("by_hand", [True, False])
def test_a_function_s_R_that_is_one_for_all_is_refused(by_hand, mode):
    """The value was zero, without a word; a tensor was refused."""

    class Centred(nn.Module):
        def forward(self, h):
            return (h - h.mean(0)) / (h.std(0) + 1e-3)

    torch.manual_seed(0)
    norm = Centred() if by_hand else nn.BatchNorm1d(5)
    model = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), norm, nn.Linear(5, 3)).double()
    x = torch.randn(6, 4, dtype=torch.float64)

    def one(z, y):
        return torch.ones_like(z)[:, :, None]

    for given in (one, one(model(x), None).detach()):
        with pytest.raises(ValueError, match=r"derivatives cancel|depend on each other"):
            gt.contract(model, x, given, mode=mode)
    assert gt.contract(model, x, lambda z, y: z.softmax(1)[:, :, None], mode=mode) > 0
    alone = nn.Sequential(model[0], model[1], model[3])
    assert gt.contract(alone, x, one, mode=mode) > 0
