"""The objective under ``torch.compile(fullgraph=True)``: gradients are those of eager."""

import copy
import shutil

import gradreg_torch as gt
import pytest
import torch
import torch._inductor.config
from gradreg_torch._engine.compiling import eager_where_old
from torch import nn

LAM = 0.3
pytestmark = pytest.mark.xdist_group("compile")


class Block(nn.Module):
    """x + conv-norm-tanh-conv-norm."""

    def __init__(self):
        super().__init__()
        conv = {"kernel_size": 3, "padding": 1, "bias": False}
        self.body = nn.Sequential(
            nn.Conv2d(4, 4, **conv),
            nn.BatchNorm2d(4),
            nn.Tanh(),
            nn.Conv2d(4, 4, **conv),
            nn.BatchNorm2d(4),
        )

    def forward(self, x):
        return torch.relu(x + self.body(x))


def encoder():
    layer = nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True)
    return nn.TransformerEncoder(layer, 1, enable_nested_tensor=False)


NETWORKS = {
    "mlp": (lambda: nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Linear(8, 4)), (5, 6)),
    "residual": (
        lambda: nn.Sequential(
            nn.Conv2d(2, 4, 3),
            Block(),
            nn.MaxPool2d(2),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(4, 4),
        ),
        (5, 2, 6, 6),
    ),
    "transformer": (lambda: nn.Sequential(encoder(), nn.Flatten(), nn.Linear(40, 4)), (5, 5, 8)),
}
PENALTIES = {
    "spectreg": lambda: gt.SpectReg(mode="reverse"),
    "spectreg, forward": lambda: gt.SpectReg(mode="forward"),
    "doubleback": gt.DoubleBack,
    # With running statistics: with those of the batch one R for all examples is refused.
    "frobreg": lambda: gt.FrobReg(batchnorm="eval"),
    "jacreg": lambda: gt.JacReg(batchnorm="eval"),
    "onehot": gt.Onehot,
    "jacreg, projected": gt.JacReg,
    "contract": lambda: gt.Contract(R=torch.arange(20.0, dtype=torch.float64).reshape(5, 4, 1)),
}
ONLY_WITHOUT_BATCH_NORM = ("contract",)  # R may be one for all examples: it has no values to read


def probes_of(name, x):
    """The options of a step: its probes, of a penalty that has some."""
    if "spectreg" not in name and "projected" not in name:
        return {}
    size, g = x[0].numel() if "forward" in name else 4, torch.Generator().manual_seed(1)
    return {"probes": gt.draw_probes("sphere", 5, size, generator=g, dtype=torch.float64)}


def made(network):
    """A network twice, inputs and labels."""
    make, shape = NETWORKS[network]
    torch.manual_seed(0)
    eager = make().double()
    x, y = torch.randn(shape, dtype=torch.float64), torch.tensor([0, 1, 2, 3, 0])
    return eager, copy.deepcopy(eager), x, y


def run(network, name, backend):
    """Loss, gradient and buffers of a step, eager and compiled."""
    eager, compiled, x, y = made(network)
    penalty, options = PENALTIES[name](), probes_of(name, x)

    def step(model, x, y, options):
        got = gt.objective(model, x, y, penalty, **options)
        return got.loss + LAM * got.penalty

    torch._dynamo.reset()
    fast = torch.compile(lambda x, y, o: step(compiled, x, y, o), fullgraph=True, backend=backend)
    losses = step(eager, x, y, options), fast(x, y, options)
    for loss in losses:
        loss.backward()
    return losses, eager, compiled


CASES = [("mlp" if name in ONLY_WITHOUT_BATCH_NORM else "residual", name) for name in PENALTIES]
CASES += [("transformer", "spectreg"), ("transformer", "spectreg, forward")]  # attention, each way


@pytest.mark.parametrize(("network", "name"), CASES)
def test_compiled_gradients_are_eager_s(network, name):
    losses, eager, compiled = run(network, name, "aot_eager")
    torch.testing.assert_close(*losses, rtol=1e-13, atol=0)
    flat = [
        torch.cat(
            [
                torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten()
                for p in m.parameters()
            ]
        )
        for m in (eager, compiled)
    ]
    assert (flat[0] - flat[1]).norm() <= 1e-12 * flat[0].norm()
    for a, b in zip(eager.buffers(), compiled.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-15)


@pytest.mark.skipif(shutil.which("g++") is None, reason="inductor needs a C++ compiler")
@pytest.mark.parametrize("name", ["spectreg", "spectreg, forward"])
def test_inductor(name, monkeypatch):
    # Without the machine's vector instructions: to find them takes as long as the test.
    monkeypatch.setattr(torch._inductor.config.cpp, "vec_isa_ok", False)
    losses, eager, compiled = run("mlp", name, "inductor")
    torch.testing.assert_close(*losses, rtol=1e-12, atol=0)
    for a, b in zip(eager.parameters(), compiled.parameters(), strict=True):
        torch.testing.assert_close(a.grad, b.grad, rtol=1e-10, atol=1e-14)


@pytest.mark.skipif(
    not hasattr(torch._dynamo.config, "trace_autograd_ops"), reason="torch < 2.13 breaks the graph"
)
@pytest.mark.parametrize("name", ["spectreg", "doubleback"])
@pytest.mark.parametrize("network", ["mlp", "residual"])
def test_one_graph_of_loss_penalty_and_gradient(network, name):
    eager, compiled, x, y = made(network)
    penalty, options = PENALTIES[name](), probes_of(name, x)

    def gradient(model):
        got = gt.objective(model, x, y, penalty, **options)
        return torch.autograd.grad(got.loss + LAM * got.penalty, list(model.parameters()))

    torch._dynamo.reset()
    with torch._dynamo.config.patch(trace_autograd_ops=True):
        fast = torch.compile(gradient, fullgraph=True, backend="aot_eager")(compiled)
    flat = [torch.cat([g.flatten() for g in found]) for found in (gradient(eager), fast)]
    assert (flat[0] - flat[1]).norm() <= 1e-12 * flat[0].norm()
    for a, b in zip(eager.buffers(), compiled.buffers(), strict=True):
        torch.testing.assert_close(a, b, rtol=1e-13, atol=1e-15)


class Decay(nn.Module):
    """The weight decay of a model, as a module that `functional_call` accepts."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self):
        return gt.weight_decay(self.model)


DECAY = Decay(nn.Linear(3, 4))
OF_LOGITS_AND_WEIGHTS = {
    "confidence penalty": lambda p: gt.confidence_penalty(p["weight"]),
    "weight decay": lambda p: torch.func.functional_call(
        DECAY, {f"model.{name}": t for name, t in p.items()}, ()
    ),
}


@pytest.mark.parametrize("penalty", OF_LOGITS_AND_WEIGHTS.values(), ids=OF_LOGITS_AND_WEIGHTS)
def test_penalties_of_logits_and_weights_read_no_values_where_there_are_none(penalty):
    """`torch.compile` and `vmap` refused them: a check of finite numbers read a value."""
    several = {"weight": torch.randn(2, 4, 3), "bias": torch.randn(2, 4)}
    each = [{name: t[i] for name, t in several.items()} for i in range(2)]
    eager = [penalty(p) for p in each]
    torch._dynamo.reset()
    compiled = torch.compile(penalty, fullgraph=True, backend="eager")
    torch.testing.assert_close(compiled(each[0]), eager[0], rtol=0, atol=0)
    torch.testing.assert_close(torch.func.vmap(penalty)(several), torch.stack(eager))


def test_what_cannot_be_compiled_says_so():
    model, x, y = nn.Linear(6, 4), torch.randn(5, 6), torch.tensor([0, 1, 2, 3, 0])

    def compiled(penalty):
        torch._dynamo.reset()
        step = torch.compile(
            lambda x, y: gt.objective(model, x, y, penalty).penalty,
            fullgraph=True,
            backend="aot_eager",
        )
        step(x, y)

    with pytest.raises(Exception, match="examples that do not depend on each other"):
        run("residual", "contract", "aot_eager")
    for penalty, message in (
        (gt.SpectReg(generator=torch.Generator()), "drawn outside the compiled step"),
        (gt.FrobReg(every=2), "expected every=1 in a compiled step"),
        (
            gt.FrobReg(fraction=0.5, generator=torch.Generator()),
            "expected fraction=1 in a compiled step",
        ),
        (
            gt.FrobReg(mode="finite_difference"),
            "expected mode='reverse' or 'forward' in a compiled step",
        ),
    ):
        with pytest.raises(Exception, match=message):
            compiled(penalty)


# Of torch itself, behind a call that it does not compile.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
@pytest.mark.parametrize(
    "made",
    [
        lambda g: gt.SpectReg(generator=g),
        lambda g: gt.SpectReg(generator=g, every=2),
        lambda g: gt.JacReg(generator=g, num_probes=1, fraction=0.5),
        lambda _: gt.FrobReg(mode="finite_difference"),
    ],
    ids=["generator", "every", "fraction", "differences"],
)
def test_without_fullgraph_they_run_uncompiled(made):
    """It was an error of the compiler's: torch.func.vjp does not go with a broken graph."""
    model, x, y = nn.Linear(6, 4), torch.randn(5, 6), torch.tensor([0, 1, 2, 3, 0])
    eager, compiled = (made(torch.Generator().manual_seed(0)) for _ in range(2))
    torch._dynamo.reset()
    step = torch.compile(lambda: gt.objective(model, x, y, compiled), backend="aot_eager")
    for _ in range(3):
        torch.testing.assert_close(tuple(step()), tuple(gt.objective(model, x, y, eager)))


# Of torch itself, behind a call that it does not compile.
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor that is not a leaf")
def test_with_an_old_torch_a_penalty_is_refused_in_one_graph_and_right_without():
    model, x = nn.Linear(6, 4), torch.randn(5, 6)
    old = eager_where_old(gt.frobreg, "2.8.0")

    def compiled(fullgraph):
        torch._dynamo.reset()
        step = torch.compile(lambda x: 2 * old(model, x), fullgraph=fullgraph, backend="eager")
        return step(x)

    with pytest.raises(Exception, match=r"expected torch >= 2\.13 .*got 2\.8\.0; update torch, or"):
        compiled(fullgraph=True)
    torch.testing.assert_close(compiled(fullgraph=False), 2 * gt.frobreg(model, x))
