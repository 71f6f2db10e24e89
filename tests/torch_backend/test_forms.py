"""The torch backend as users call it: model or logits, objective, modes, batch norm, inputs."""

import copy

import gradreg_torch as gt
import pytest
import torch
from torch import nn


def mlp(device="cpu", dtype=torch.float64):
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).to(device, dtype)


def batch(device="cpu", dtype=torch.float64):
    g = torch.Generator().manual_seed(1)
    x = torch.randn(6, 4, generator=g, dtype=torch.float64)
    return x.to(device, dtype), torch.tensor([0, 1, 2, 0, 1, 2], device=device)


def rng(device="cpu", seed=0):
    return torch.Generator(device).manual_seed(seed)


def all_penalties(model_or_logits, x, y):
    """One value of every penalty that has a Jacobian."""
    g = rng(y.device)
    return {
        "frobreg": gt.frobreg(model_or_logits, x),
        "spectreg": gt.spectreg(model_or_logits, x, generator=g),
        "doubleback": gt.doubleback(model_or_logits, x, y),
        "jacreg": gt.jacreg(model_or_logits, x),
        "projected jacreg": gt.jacreg(model_or_logits, x, num_probes=1, generator=g),
        "onehot": gt.onehot(model_or_logits, x, y),
    }


def gradients(value, model):
    return torch.autograd.grad(value, list(model.parameters()), retain_graph=True)


def test_model_and_logits_give_the_same_value_and_gradient(device):
    model, (x, y) = mlp(device), batch(device)
    own = x.clone().requires_grad_()
    from_model = all_penalties(model, x, y)
    from_logits = all_penalties(model(own), own, y)
    for name, value in from_model.items():
        torch.testing.assert_close(from_logits[name], value, rtol=0, atol=0, msg=name)
        # The biases of the last layer reach no Jacobian: autograd has no path to them.
        for a, b in zip(
            torch.autograd.grad(value, model[0].weight, retain_graph=True),
            torch.autograd.grad(from_logits[name], model[0].weight, retain_graph=True),
            strict=True,
        ):
            torch.testing.assert_close(a, b, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["frobreg", "spectreg", "doubleback", "jacreg", "onehot"])
def test_the_model_the_input_and_the_global_generator_stay_untouched(name):
    model, (x, y) = mlp(), batch()
    x.requires_grad_()
    before, state = copy.deepcopy(model.state_dict()), torch.get_rng_state()
    value = all_penalties(model, x, y)[name]
    assert x.grad is None
    assert all(p.grad is None for p in model.parameters())
    assert torch.equal(torch.get_rng_state(), state)
    assert value.requires_grad
    value.backward()
    assert x.grad is None, "the penalty's gradient goes to the parameters, not to the data"
    assert model[0].weight.grad.abs().sum() > 0
    assert all(torch.equal(a, before[k]) for k, a in model.state_dict().items())


def test_under_no_grad_the_value_is_right_and_has_no_graph():
    model, (x, y) = mlp(), batch()
    expected = all_penalties(model, x, y)
    with torch.no_grad():
        measured = all_penalties(model, x, y)
        loss, penalty, logits = gt.objective(model, x, y, gt.DoubleBack())
    for name, value in measured.items():
        assert not value.requires_grad, name
        torch.testing.assert_close(value, expected[name].detach(), rtol=0, atol=0)
    assert not any(t.requires_grad for t in (loss, penalty, logits))


def test_objective_is_loss_penalty_and_logits_of_one_pass():
    model, (x, y) = mlp(), batch()
    loss, penalty, logits = gt.objective(model, x, y, gt.SpectReg(generator=rng()))
    torch.testing.assert_close(logits, model(x))
    torch.testing.assert_close(loss, nn.functional.cross_entropy(model(x), y))
    torch.testing.assert_close(penalty, gt.spectreg(model, x, generator=rng()))
    (loss + 0.1 * penalty).backward()
    assert model[0].weight.grad is not None


def test_objective_has_one_dropout_mask_for_both_terms():
    model = nn.Sequential(nn.Dropout(0.5), nn.Linear(8, 3, bias=False)).double()
    x = torch.ones(1, 8, dtype=torch.float64)
    _, penalty, logits = gt.objective(model, x, torch.tensor([0]), gt.FrobReg())
    mask = penalty_mask = None
    with torch.no_grad():
        # z = W (mask·2) and ‖J‖² = ‖W diag(mask·2)‖²: solve both for the mask.
        W = model[1].weight
        masks = torch.cartesian_prod(*[torch.tensor([0.0, 2.0]).double()] * 8)
        mask = [m for m in masks if torch.allclose(W @ m, logits[0])]
        penalty_mask = [m for m in mask if torch.allclose((W * m).square().sum(), penalty)]
    assert len(mask) == 1
    assert len(penalty_mask) == 1


@pytest.mark.parametrize("form", ["model", "logits", "objective"])
def test_running_statistics_move_once_a_step(form):
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()
    x, y = batch()
    once = copy.deepcopy(model)
    once(x)
    if form == "model":
        model(x)
        gt.spectreg(model, x, generator=rng())
    elif form == "logits":
        own = x.clone().requires_grad_()
        gt.spectreg(model(own), own, generator=rng())
    else:
        gt.objective(model, x, y, gt.SpectReg(generator=rng()))
    assert model[1].num_batches_tracked == 1
    torch.testing.assert_close(model[1].running_mean, once[1].running_mean, rtol=0, atol=0)


@pytest.mark.parametrize("chunk_size", [2, 3, 4])
@pytest.mark.parametrize(
    ("n", "groups", "channels", "size"),
    [(2, 1, 2, 2), (2, 2, 4, 2), (3, 3, 9, 3), (1, 2, 4, 2), (5, 2, 4, 3)],
)
def test_chunks_through_group_norm(n, groups, channels, size, chunk_size):
    """torch raises an error here for several columns at once, or is wrong if the sizes fit."""
    torch.manual_seed(0)
    model = nn.Sequential(
        *(nn.Unflatten(1, (1, size)), nn.Conv1d(1, channels, 1), nn.GroupNorm(groups, channels)),
        *(nn.Tanh(), nn.Flatten(), nn.Linear(channels * size, 4)),
    ).double()
    x = torch.randn(n, size, dtype=torch.float64)
    alone = gt.frobreg(model, x, reduction="none", chunk_size=1)
    value = gt.frobreg(model, x, reduction="none", chunk_size=chunk_size)
    torch.testing.assert_close(value, alone)
    x.requires_grad_()
    torch.testing.assert_close(gt.frobreg(model(x), x, chunk_size=chunk_size), alone.mean())
    expected = torch.autograd.grad(alone.sum(), list(model.parameters()), allow_unused=True)
    found = torch.autograd.grad(value.sum(), list(model.parameters()), allow_unused=True)
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_train_and_eval_mode_are_respected():
    model = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()
    x, _ = batch()
    model(3 * x)
    in_training = gt.spectreg(model, x, generator=rng())
    in_evaluation = gt.spectreg(model.eval(), x, generator=rng())
    assert not torch.isclose(in_training, in_evaluation)
    J = torch.func.vmap(torch.func.jacrev(lambda x: model(x[None])[0]))(x)
    assert abs(gt.frobreg(model, x) - J.square().sum() / len(x)) < 1e-12


@pytest.mark.parametrize("chunk_size", [None, 1, 2, 5])
def test_chunks_change_nothing(chunk_size):
    model, (x, _) = mlp(), batch()
    value = gt.frobreg(model, x, chunk_size=chunk_size)
    loop = sum(gt.onehot(model, x, torch.full((6,), k)) for k in range(3))
    torch.testing.assert_close(value, loop)
    for a, b in zip(gradients(value, model[:1]), gradients(loop, model[:1]), strict=True):
        torch.testing.assert_close(a, b)


class TwoInputs(nn.Module):
    def __init__(self):
        super().__init__()
        self.a, self.b = nn.Linear(4, 3).double(), nn.Linear(2, 3).double()

    def forward(self, left, right, mask=None):
        z = self.a(left).tanh() + self.b(right).tanh()
        return z if mask is None else z * mask[:, None]


def test_inputs_may_be_a_tuple_or_a_dict():
    model, (x, _) = TwoInputs(), batch()
    right = torch.ones(6, 2, dtype=torch.float64)
    left_only = gt.frobreg(model, (x, right), wrt=0)
    both = gt.frobreg(model, {"left": x, "right": right}, wrt=["left", "right"])
    right_only = gt.frobreg(model, {"left": x, "right": right}, wrt="right")
    torch.testing.assert_close(both, left_only + right_only)
    mask = torch.ones(6, dtype=torch.int64)
    masked = gt.frobreg(model, {"left": x, "right": right, "mask": mask}, wrt=("left", "right"))
    torch.testing.assert_close(masked, both)
    _, penalty, _ = gt.objective(
        model,
        {"left": x, "right": right},
        torch.zeros(6, dtype=int),
        gt.FrobReg(),
        wrt=["left", "right"],
    )
    torch.testing.assert_close(penalty, both)


def test_a_computed_input_stays_in_its_graph():
    """Embeddings: J depends on the table through x, and the penalty must train it."""
    table = nn.Embedding(7, 4).double()
    model = mlp().requires_grad_(False)  # the table alone is trained
    value = gt.frobreg(model, table(torch.tensor([1, 2, 3])))
    value.backward()
    h = 1e-6
    with torch.no_grad():
        slope = table.weight.grad.clone()
        ups = []
        for sign in (1, -1):
            table.weight[1, 0] += sign * h
            ups.append(gt.frobreg(model, table(torch.tensor([1, 2, 3]))))
            table.weight[1, 0] -= sign * h
    torch.testing.assert_close(slope[1, 0], (ups[0] - ups[1]) / (2 * h), rtol=1e-6, atol=0)


@pytest.mark.parametrize("in_place", [nn.ReLU(inplace=True), lambda a: a.mul_(3.0)])
@pytest.mark.parametrize("computed", [False, True])
def test_a_model_that_works_in_place_on_its_input(in_place, computed):
    last = nn.Linear(4, 3).double()
    x, _ = batch()
    x = x.requires_grad_() * 1 if computed else x
    before = x.detach().clone()
    jacobian = torch.func.vmap(torch.func.jacrev(lambda a: last(in_place(a.clone()))))(before)
    value = gt.frobreg(lambda a: last(in_place(a)), x)
    torch.testing.assert_close(value, jacobian.square().sum((1, 2)).mean())
    assert torch.equal(x, before)


def test_inputs_that_depend_on_each_other_are_differentiated_apart():
    A, B = torch.randn(2, 3, 4, generator=rng(), dtype=torch.float64).requires_grad_()
    x, _ = batch()
    h = x.requires_grad_() * 1
    value = gt.frobreg(lambda a, b: a @ A.T + b @ B.T, (h, 2 * h), wrt=(0, 1))
    torch.testing.assert_close(value, A.square().sum() + B.square().sum())
    assert gt.frobreg(lambda a, b: a @ A.T + b @ B.T, (h, h), wrt=0) == A.square().sum()


def test_one_generator_goes_on_from_call_to_call():
    model, (x, _), g = mlp(), batch(), rng()
    assert gt.spectreg(model, x, generator=g) != gt.spectreg(model, x, generator=g)


def test_doubleback_in_the_objective_has_the_objective_s_loss():
    model, (x, _) = mlp(), batch()
    targets = torch.rand(6, 3, generator=rng(), dtype=torch.float64).softmax(1)
    _, penalty, _ = gt.objective(model, x, targets, gt.DoubleBack(), loss="mean_squared_error")
    expected = gt.doubleback(model, x, targets, loss="mean_squared_error")
    torch.testing.assert_close(penalty, expected)


def test_label_sums_other_than_one_are_in_the_gradient():
    model, (x, _) = mlp(), batch()
    y = 0.995 * torch.rand(6, 3, generator=rng(), dtype=torch.float64).softmax(1)

    def losses(z, y):
        return nn.functional.cross_entropy(z, y, reduction="none")

    torch.testing.assert_close(gt.doubleback(model, x, y), gt.doubleback(model, x, y, loss=losses))


@pytest.mark.parametrize("shape", [(), (1,), (3,), (2, 3), (2, 3, 2)])
def test_outputs_of_any_rank(shape):
    weight = torch.randn(4, *shape, generator=rng(), dtype=torch.float64, requires_grad=True)
    x, _ = batch()
    value = gt.frobreg(lambda x: torch.tensordot(x, weight, dims=1), x)
    torch.testing.assert_close(value, weight.square().sum())


@pytest.mark.parametrize("shape", [(6, 1), (6, 2), (6, 1, 2, 2)])
def test_inputs_of_any_rank(shape):
    x = torch.randn(shape, generator=rng(), dtype=torch.float64)
    value = gt.frobreg(lambda x: (x * x).reshape(6, -1), x, reduction="none")
    torch.testing.assert_close(value, (2 * x).reshape(6, -1).square().sum(dim=1))


@pytest.mark.parametrize(
    ("twin", "function"),
    [
        (gt.FrobReg(), lambda m, x, y: gt.frobreg(m, x)),
        (
            gt.SpectReg(probe="sphere", generator=rng()),
            lambda m, x, y: gt.spectreg(m, x, probe="sphere", generator=rng()),
        ),
        (gt.DoubleBack(reduction="sum"), lambda m, x, y: gt.doubleback(m, x, y, reduction="sum")),
        (gt.JacReg(chunk_size=2), lambda m, x, y: gt.jacreg(m, x)),
        (gt.Onehot(), gt.onehot),
    ],
    ids=lambda p: type(p).__name__,
)
def test_twins_are_their_functions(twin, function):
    model, (x, y) = mlp(), batch()
    torch.testing.assert_close(twin(model, x, y), function(model, x, y))
    assert "=" in repr(twin) or not twin.options


def test_a_loss_of_ones_own_for_doubleback():
    model, (x, y) = mlp(), batch()

    def losses(z, y):
        return nn.functional.cross_entropy(z, y, reduction="none")

    torch.testing.assert_close(gt.doubleback(model, x, y, loss=losses), gt.doubleback(model, x, y))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_half_precision_squares_in_float32(dtype):
    """In float16 ‖J‖² of 300² · 4 would be infinite."""
    x = torch.ones(2, 4, dtype=dtype)
    weight = torch.full((4, 1), 300.0, dtype=dtype, requires_grad=True)
    value = gt.frobreg(lambda x: x @ weight, x)
    assert value.dtype == torch.float32
    assert value == 360000


@pytest.mark.parametrize("name", ["frobreg", "jacreg"])
def test_graphs_that_are_computed_again_give_the_same_numbers(name, monkeypatch):
    """Many products keep no graphs: backward computes them again, bit for bit."""
    model, (x, _) = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 5)).double(), batch()
    found = []
    for most in (100, 2):
        monkeypatch.setattr(gt._engine.reverse, "MOST_GRAPHS", most)
        value = getattr(gt, name)(model, x)
        gradients = torch.autograd.grad(
            value, list(model.parameters()), materialize_grads=True, allow_unused=True
        )
        found.append([value, *gradients])
    for kept, again in zip(*found, strict=True):
        assert torch.equal(kept, again)
