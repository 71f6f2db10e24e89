"""Every mode gives the same number: values, gradients, what they leave behind, what they refuse."""

import copy
import warnings

import gradreg_torch as gt
import pytest
import torch
from gradreg_torch._engine.differences import Differences
from gradreg_torch._engine.forward import Forward
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.checkpoint import CheckpointError, checkpoint

from gradreg_verify import BY_ID, Target, bundled
from gradreg_verify.frameworks.torch.backend import TorchBackend
from gradreg_verify.outcomes import Broken

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 0, 1, 2])
R = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
V = torch.randn(6, 4, 2, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
DIFFERENCES = ("finite_difference", "one_sided_difference")


def mlp(*layers):
    torch.manual_seed(0)
    layers = layers or (nn.Tanh(),)
    return nn.Sequential(nn.Linear(4, 5), *layers, nn.Linear(5, 3)).double()


PENALTIES = {
    "frobreg": gt.frobreg,
    "spectreg": lambda model, x, **o: gt.spectreg(model, x, probes=R, **o),
    "doubleback": lambda model, x, **o: gt.doubleback(model, x, Y, **o),
    "jacreg": gt.jacreg,
    "projected jacreg": lambda model, x, **o: gt.jacreg(model, x, probes=R, **o),
    "onehot": lambda model, x, **o: gt.onehot(model, x, Y, **o),
}


def gradient(value, model):
    gradients = torch.autograd.grad(
        value,
        list(model.parameters()),
        allow_unused=True,
        materialize_grads=True,
        retain_graph=True,
    )
    return torch.cat([g.flatten() for g in gradients])


def relative(a, b):
    return ((a - b).norm() / b.norm()).item()


@pytest.mark.parametrize("mode", DIFFERENCES)
@pytest.mark.parametrize("name", PENALTIES)
def test_differences_have_the_exact_value_and_nearly_the_gradient(name, mode):
    model, fn = mlp(), PENALTIES[name]
    exact, near = fn(model, X, mode="reverse"), fn(model, X, mode=mode)
    torch.testing.assert_close(near, exact, rtol=1e-14, atol=0)
    assert relative(gradient(near, model), gradient(exact, model)) < 1e-6
    assert torch.equal(fn(model, X, mode=mode, reduction="none").sum() / 6, near)


@pytest.mark.parametrize(("mode", "order"), [("finite_difference", 2), ("one_sided_difference", 1)])
def test_the_order_of_the_bias(mode, order, monkeypatch):
    """Half the step, a quarter of the error, or a half: differences of ever smaller steps."""
    model, errors = mlp(), []
    exact = gradient(gt.spectreg(model, X, probes=R, mode="reverse"), model)
    for h in (2.0**-7, 2.0**-8):
        monkeypatch.setattr(Differences, "step", lambda *_, h=h: torch.full((6,), h).double())
        near = gradient(gt.spectreg(model, X, probes=R, mode=mode), model)
        errors.append((near - exact).norm())
    assert (errors[0] / errors[1]).item() == pytest.approx(2**order, rel=0.02)


@pytest.mark.parametrize("name", ["frobreg", "jacreg"])
def test_exact_penalties_in_forward_mode(name):
    model, fn = mlp(nn.LayerNorm(5), nn.Tanh()), PENALTIES[name]
    reverse = fn(model, X, mode="reverse")
    for chunk_size in (None, 1, 3):
        forward = fn(model, X, mode="forward", chunk_size=chunk_size)
        torch.testing.assert_close(forward, reverse, rtol=1e-13, atol=0)
        torch.testing.assert_close(
            gradient(forward, model), gradient(reverse, model), rtol=1e-11, atol=1e-13
        )


def test_forward_mode_is_the_mirror_image():
    """‖JV‖² with V of all inputs at once, by an explicit J."""
    model = mlp()
    J = torch.func.vmap(torch.func.jacrev(model))(X)
    expected = torch.einsum("nki,niq->nkq", J, V).square().sum((1, 2)) / 2
    got = gt.spectreg(model, X, probes=V, mode="forward", reduction="none")
    torch.testing.assert_close(got, expected, rtol=1e-13, atol=0)


def test_projected_jacreg_in_forward_mode():
    """‖S J V‖², S of the logits of the same pass."""
    model = mlp()
    J, p = torch.func.vmap(torch.func.jacrev(model))(X), model(X).softmax(1)
    S = torch.diag_embed(p) - p[:, :, None] * p[:, None]
    expected = (S @ J @ V).square().sum((1, 2)) / 2
    got = gt.jacreg(model, X, probes=V, mode="forward", reduction="none")
    torch.testing.assert_close(got, expected, rtol=1e-12, atol=0)


class Branching(nn.Module):
    """Another number of ReLUs, or none, in every pass."""

    def __init__(self, calls):
        super().__init__()
        self.calls = calls

    def forward(self, x):
        for _ in range(self.calls.pop(0)):
            x = torch.relu(x)
        return x


@pytest.mark.parametrize("calls", [[1, 1, 2, 2], [2, 2, 1, 1]])
def test_a_model_that_branches_is_refused(calls):
    with pytest.raises(ValueError, match="expected the same operations in every pass"):
        gt.spectreg(mlp(Branching(calls)), X, probes=R[:, :, :1], mode="finite_difference")


def test_forward_mode_of_several_inputs():
    W = torch.ones(4, 3, dtype=torch.float64)
    both = torch.cat([V, 2 * V], 1)[:, :5]
    got = gt.spectreg(
        lambda a, b: (a @ W) ** 2 + b @ W[:1],
        (X, X[:, :1]),
        probes=both,
        mode="forward",
        wrt=(0, 1),
    )
    joined = torch.cat([X, X[:, :1]], 1)
    expected = gt.spectreg(
        lambda x: (x[:, :4] @ W) ** 2 + x[:, 4:] @ W[:1], joined, probes=both, mode="forward"
    )
    torch.testing.assert_close(got, expected, rtol=1e-14, atol=0)


@pytest.mark.parametrize("mode", ["forward", *DIFFERENCES])
def test_computed_inputs_keep_their_graph(mode):
    """Embeddings are trained by the penalty of the embedded inputs."""
    torch.manual_seed(0)
    embedding, model = nn.Embedding(5, 4).double(), mlp()
    tokens, probes = torch.tensor([0, 1, 2, 3, 4, 0]), V if mode == "forward" else R
    judge = "forward" if mode == "forward" else "reverse"
    found = [
        gradient(gt.spectreg(model, embedding(tokens), probes=probes, mode=m), embedding)
        for m in (mode, judge)
    ]
    assert found[0].abs().max() > 0.01
    assert relative(*found) < 1e-6
    with pytest.raises(RuntimeError, match="not have been used"):  # and x of one's own gets none
        torch.autograd.grad(gt.spectreg(model, X, probes=probes, mode=mode), embedding.weight)


@pytest.mark.parametrize("mode", ["forward", *DIFFERENCES])
def test_dropout_has_one_mask_for_all_passes(mode):
    model = mlp(nn.Dropout(0.5)).train()
    probes = V if mode == "forward" else R
    judge = "forward" if mode == "forward" else "reverse"
    found = []
    for m, options in ((mode, {"chunk_size": 1}), (judge, {})):
        torch.manual_seed(5)
        found.append(gradient(gt.spectreg(model, X, probes=probes, mode=m, **options), model))
    assert relative(*found) < 1e-6


@pytest.mark.parametrize("mode", ["reverse", "forward", *DIFFERENCES])
def test_statistics_move_once_with_the_loss_and_never_without(mode):
    model = mlp(nn.BatchNorm1d(5)).train()
    plain, penalised = copy.deepcopy(model), copy.deepcopy(model)
    gt.spectreg(penalised, X, probes=V if mode == "forward" else R, mode=mode)
    for name, buffer in penalised.named_buffers():
        assert torch.equal(buffer, model.get_buffer(name)), name
    plain(X)
    penalty = gt.SpectReg(mode=mode)
    step = gt.objective(penalised, X, Y, penalty, probes=V if mode == "forward" else R)
    for name, buffer in penalised.named_buffers():
        torch.testing.assert_close(buffer, plain.get_buffer(name), rtol=1e-13, atol=1e-15)
    (step.loss + step.penalty).backward()
    reverse = copy.deepcopy(model)
    if mode in DIFFERENCES:
        exact = gt.objective(reverse, X, Y, gt.SpectReg(mode="reverse"), probes=R)
        (exact.loss + exact.penalty).backward()
        for a, b in zip(penalised.parameters(), reverse.parameters(), strict=True):
            torch.testing.assert_close(a.grad, b.grad, rtol=1e-5, atol=1e-7)


class Counting(nn.Module):
    """Each pass scales by one more, as spectral norm's power iteration moves on in each."""

    def __init__(self):
        super().__init__()
        self.register_buffer("passes", torch.ones((), dtype=torch.float64))

    def forward(self, x):
        self.passes += 1
        return self.passes * x


@pytest.mark.parametrize("objective", [False, True])
@pytest.mark.parametrize("mode", ["forward", *DIFFERENCES])
def test_every_pass_sees_the_buffers_of_the_first(mode, objective):
    found = []
    for m in (mode, "forward" if mode == "forward" else "reverse"):
        model, probes = mlp(Counting()).train(), V if mode == "forward" else R
        options = {"chunk_size": 1} if m == "forward" == mode else {}
        if objective:
            value = gt.objective(model, X, Y, gt.SpectReg(mode=m, **options), probes=probes).penalty
        else:
            value = gt.spectreg(model, X, probes=probes, mode=m, **options)
        assert model[1].passes == (2 if objective else 1)
        found.append(gradient(value, model))
        del value
    assert relative(*found) < 1e-6


def test_per_example_differences_through_batch_norm_are_refused():
    model = mlp(nn.BatchNorm1d(5)).train()
    with pytest.raises(ValueError, match="expected reduction='mean' or 'sum' with finite diff"):
        gt.spectreg(model, X, probes=R, mode="finite_difference", reduction="none")


@pytest.mark.parametrize("mode", ["reverse", "forward", *DIFFERENCES])
def test_under_no_grad_the_value(mode):
    model, probes = mlp(), V if mode == "forward" else R
    with torch.no_grad():
        value = gt.spectreg(model, X, probes=probes, mode=mode)
    assert not value.requires_grad
    torch.testing.assert_close(value, gt.spectreg(model, X, probes=probes, mode=mode).detach())


REFUSED = {
    "doubleback forward": (
        lambda: gt.doubleback(mlp(), X, Y, mode="forward"),
        "expected mode='rev",
    ),
    "onehot forward": (lambda: gt.onehot(mlp(), X, Y, mode="forward"), "expected mode='reverse'"),
    "an unknown mode": (
        lambda: gt.frobreg(mlp(), X, mode="backward"),
        "expected mode to be one of",
    ),
    "an unknown policy": (lambda: gt.frobreg(mlp(), X, batchnorm="no"), "expected batchnorm to be"),
    "logits": (
        lambda: gt.frobreg(
            mlp()(X.clone().requires_grad_()), X.clone().requires_grad_(), mode="forward"
        ),
        "expected mode='reverse' where logits|expected input 0 to reach",
    ),
    "differences in bfloat16": (
        lambda: gt.frobreg(mlp().bfloat16(), X.bfloat16(), mode="finite_difference"),
        "expected finite differences in float32 or float64, got torch.bfloat16",
    ),
    "as many probes as inputs": (
        lambda: gt.spectreg(mlp(), X, num_probes=4, mode="forward", generator=torch.Generator()),
        "expected num_probes < m = 4",
    ),
    # torch differentiates cdist twice from 2.14 on, and hardsigmoid in no version.
    "logits of a hardsigmoid": (
        lambda: gt.frobreg(
            *(lambda x: (nn.functional.hardsigmoid(x), x))(X.clone().requires_grad_())
        ),
        "got hardsigmoid, which cannot",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refusals(name):
    attempt, message = REFUSED[name]
    with pytest.raises((ValueError, TypeError), match=message.replace("|", "|")):
        attempt()


def test_a_compiled_model_passed_in_works():
    model = mlp()
    compiled = torch.compile(model, backend="aot_eager")
    for mode in ("reverse", "finite_difference"):
        value = gt.spectreg(compiled, X, probes=R, mode=mode)
        expected = gt.spectreg(model, X, probes=R, mode="reverse")
        assert relative(gradient(value, model), gradient(expected, model)) < 1e-8


def test_warnings_come_from_auto_only():
    model = mlp(nn.Hardsigmoid())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gt.spectreg(model, X, probes=R, mode="finite_difference")


def test_a_wrong_forward_mode_turns_s21_red(monkeypatch):
    """Planted: half of the inputs' products, which the trial of forward mode sees too."""
    monkeypatch.setattr(gt._engine.forward_trial, "require_right", lambda *_: None)
    right = Forward.one_pass
    monkeypatch.setattr(
        Forward, "one_pass", lambda f, v: (lambda z, J_V, b: (z, J_V / 2, b))(*right(f, v))
    )
    with pytest.raises(Broken, match="expected"):
        BY_ID["input-side-probes"].check(Target(TorchBackend()), next(iter(bundled())))


@pytest.mark.parametrize("factor", [0.95, 1.001])
def test_a_wrong_difference_turns_s22_red(factor, monkeypatch):
    """Planted: a quotient of another step than was taken. The value stays exact."""
    right = Differences.r_J_v
    monkeypatch.setattr(Differences, "r_J_v", lambda *a, **k: factor * right(*a, **k))
    with pytest.raises(Broken, match="parameter gradient, finite_difference: expected"):
        BY_ID["finite-differences"].check(Target(TorchBackend()), next(iter(bundled())))


class Attention(nn.Module):
    """One head on (n, t, 6), in torch's default kernel unless told otherwise."""

    def __init__(self):
        super().__init__()
        self.map = nn.Linear(6, 6)

    def forward(self, x):
        h = self.map(x)[:, None]
        return nn.functional.scaled_dot_product_attention(h, h, x[:, None])[:, 0].flatten(1)


@pytest.mark.parametrize("allowed", [[SDPBackend.FLASH_ATTENTION], [SDPBackend.MATH]])
def test_the_user_s_kernels_of_attention_are_back_after_a_penalty(allowed):
    def kernels():
        return torch.nn.attention._cur_sdpa_kernel_backends()

    def fails(x):
        assert kernels() == [SDPBackend.MATH]
        raise KeyError

    torch.manual_seed(0)
    block, x = Attention().double(), torch.randn(4, 5, 6).double()
    with sdpa_kernel(allowed):
        before = kernels()
        gt.spectreg(block, x, probes=torch.ones(4, 30, 1).double()).backward()
        assert kernels() == before
        with pytest.raises(KeyError):
            gt.spectreg(fails, x, probes=torch.ones(4, 30, 1).double())
        assert kernels() == before


def test_checkpointed_attention():
    torch.manual_seed(0)
    block, x = Attention().double(), torch.randn(4, 5, 6).double()
    expected = gradient(gt.spectreg(block, x, probes=torch.ones(4, 30, 1).double()), block)

    def model(x):
        return checkpoint(block, x, use_reentrant=False)

    def value(mode):
        return gt.spectreg(model, x, probes=torch.ones(4, 30, 1).double(), mode=mode)

    with sdpa_kernel(SDPBackend.MATH):
        assert relative(gradient(value("reverse"), block), expected) < 1e-12
    assert relative(gradient(value("finite_difference"), block), expected) < 1e-8
    with pytest.warns(UserWarning, match="inside torch.nn.attention.sdpa_kernel"):
        found = value("reverse")
    with sdpa_kernel(SDPBackend.MATH):  # the remedy
        assert relative(gradient(found, block), expected) < 1e-12
    with pytest.raises(CheckpointError):
        gradient(value("reverse"), block)
