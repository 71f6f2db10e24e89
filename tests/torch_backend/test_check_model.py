"""`check_model`: models that are right stay green, faults that are planted turn it red."""

import copy
import re
from dataclasses import replace

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from gradreg_torch.check import cost
from torch import nn

from gradreg_verify.mistakes.torch import models
from gradreg_verify.mistakes.torch.models.model import N, Y, mlp
from gradreg_verify.mistakes.torch.models.wrong import intermediate


def g():
    return torch.Generator().manual_seed(0)


def made(name):
    """A right model of the catalogue, and its inputs."""
    return next(m for m in models.RIGHT if m.name == name).made()


def tanh_net():
    torch.manual_seed(0)
    return mlp(torch.tanh), torch.randn(N, 4)


@pytest.mark.parametrize("model", models.WRONG, ids=str)
def test_faults_turn_their_line_red(model):
    ok, red = model.judged()
    assert ok, red


@pytest.mark.parametrize("model", models.RIGHT, ids=str)
def test_right_models(model):
    ok, red = model.judged()
    assert ok, red
    of_labels = replace(model, penalty=gt.DoubleBack)
    ok, red = of_labels.judged()
    assert ok, red


def test_the_line_that_is_expected_is_the_one_that_counts():
    wrong = next(m for m in models.WRONG if m.line == "gradient")
    assert not replace(wrong, line="repeatable").judged()[0]
    assert not replace(wrong, says="at 9.weight").judged()[0]
    assert not replace(wrong, line="").judged()[0]
    assert not replace(models.RIGHT[0], line="gradient").judged()[0]


class Low(nn.Module):
    """A function that computes in a lower precision than the model, as norms often do."""

    def __init__(self, f, convert):
        super().__init__()
        self.f, self.convert = f, convert

    def forward(self, x):
        return self.f(self.convert(x)).to(x.dtype)


class ByNumPy(torch.autograd.Function):
    """x, rounded to float32 where torch does not see it, as in a kernel of the user's."""

    @staticmethod
    def forward(ctx, x):
        return torch.from_numpy(x.detach().numpy().astype("float32")).to(x.dtype)

    @staticmethod
    def backward(ctx, g):
        return g


class InBackward(torch.autograd.Function):
    """x, with a conversion in the backward pass too."""

    @staticmethod
    def forward(ctx, x):
        return x.clone()

    @staticmethod
    def backward(ctx, g):
        return g.float().to(g.dtype)


SINGLE = torch.ones(1)

CONVERSIONS = {
    "to(float32)": lambda x: x.to(torch.float32),
    "to(dtype=bfloat16)": lambda x: x.to(dtype=torch.bfloat16),
    "float()": torch.Tensor.float,
    "sum(dtype=float32)": lambda x: x[..., None].sum(-1, dtype=torch.float32),
    "type_as": lambda x: x.type_as(SINGLE),
    "complex64": lambda x: x.to(torch.complex64).real,
    "in backward": InBackward.apply,
}


@pytest.mark.parametrize("convert", CONVERSIONS.values(), ids=CONVERSIONS)
def test_a_lower_precision_inside_the_model(convert):
    """Differences drowned in its rounding, and the gradient was not decided, or called wrong."""
    torch.manual_seed(0)
    x = torch.randn(N, 4)
    for f, right in ((torch.tanh, True), (intermediate, False)):
        model = nn.Sequential(nn.Linear(4, 8), Low(f, convert), nn.Linear(8, 3))
        report = gt.check_model(model, x, Y)
        assert report["gradient"].right is right
        assert report["jacobian"].right is True


def test_float32_that_torch_does_not_see():
    """The report said WRONG: 96 % off, as the short step moves nothing there."""
    torch.manual_seed(0)
    x = torch.randn(N, 4)
    for f, right in ((torch.tanh, True), (intermediate, False)):
        model = nn.Sequential(nn.Linear(4, 8), Low(f, ByNumPy.apply), nn.Linear(8, 3))
        report = gt.check_model(model, x, Y)
        assert report["jacobian"].right is True
        assert (report["gradient"].right is True) is right


class Moving(nn.Module):
    """A state that is another tensor after each pass."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.zeros(8))

    def forward(self, h):
        self.mean = 0.9 * self.mean + 0.1 * h.detach().mean(dim=0)
        return torch.tanh(h - self.mean)


@pytest.mark.parametrize("training", [True, False])
def test_a_buffer_that_is_replaced(training):
    """The model was left with a buffer in float64, and the check raised torch's error."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 8), Moving(), nn.Linear(8, 3)), torch.randn(N, 4)
    mean = model[1].mean
    report = gt.check_model(model.train(training), x, Y)
    assert report["repeatable"].right is True
    assert report["unchanged"].right is True
    assert model[1].mean is mean
    assert not mean.any()


class Complex(nn.Module):
    """A layer of complex parameters, as neural operators have it; the first state is zero."""

    def __init__(self, f):
        super().__init__()
        self.weight, self.f = nn.Parameter(torch.randn(3, dtype=torch.complex64)), f

    def forward(self, x):
        state, z = torch.zeros(len(x), 5, dtype=torch.complex64), torch.fft.rfft(x)
        state[:, :3] = z[:, :3] * self.weight
        return self.f(torch.fft.irfft(state, n=8)) @ torch.eye(8)


@pytest.mark.parametrize(("f", "right"), [(torch.tanh, True), (intermediate, False)])
def test_complex_parameters(f, right):
    """Not compared: complex64 stayed, and so did the default dtype of new tensors."""
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 8), Complex(f), nn.Linear(8, 3)), torch.randn(N, 4)
    before = copy.deepcopy(model)
    report = gt.check_model(model, x, Y)
    assert report["gradient"].right is right
    assert report["jacobian"].right is True
    for a, b in zip(model.parameters(), before.parameters(), strict=True):
        assert a.dtype == b.dtype
        assert torch.equal(a, b)
    assert torch.get_default_dtype() == torch.float32


def test_a_model_that_raises_in_float64_leaves_nothing_behind():
    model, x = tanh_net()

    def single_only(x):
        assert x.dtype == torch.float32
        return model(x)

    with pytest.raises(AssertionError):
        gt.check_model(single_only, x, Y)
    assert {p.dtype for p in model.parameters()} == {torch.float32}
    assert torch.get_default_dtype() == torch.float32


@pytest.mark.parametrize("hidden", [False, True])
def test_a_second_derivative_that_is_wrong(hidden):
    """The value is right, the gradient off by 71 %; the layers before it are named."""
    model, x = next(m for m in models.WRONG if m.line == "gradient").made()
    report = gt.check_model((lambda x: model(x)) if hidden else model, x, Y)
    assert not report.ok
    assert report["gradient"].right is False
    assert "0.weight" in report["gradient"].text
    assert "2.weight" not in report["gradient"].text
    assert "mode='finite_difference'" in report["gradient"].remedy
    by_differences = gt.SpectReg(generator=g(), mode="finite_difference")
    assert gt.check_model(model, x, Y, by_differences).ok  # the remedy works


def test_a_refusal_is_in_the_report():
    model, x = mlp(nn.BatchNorm1d(5)), torch.randn(N, 4)
    report = gt.check_model(model, x, Y, gt.FrobReg())
    assert report["penalty"].right is False
    assert "batchnorm='eval'" in report["penalty"].text
    assert gt.check_model(model, x, Y, gt.FrobReg(batchnorm="eval")).ok


def test_an_R_that_needs_labels():
    """Whether it does, nobody knows before it is called."""
    model, x = tanh_net()
    penalty = gt.Contract(R=lambda z, y: F.one_hot(y.long(), 3)[:, :, None].to(z.dtype))
    assert "refused" in gt.check_model(model, x, penalty=penalty)["penalty"].text
    assert gt.check_model(model, x, Y, penalty).ok


SAME = torch.randn(1, 3, 2, generator=torch.Generator().manual_seed(0))
ONE_R = {
    "expanded": SAME.expand(N, 3, 2),
    "repeated": SAME.repeat(N, 1, 1),
    "computed": lambda z, y: SAME.to(z.dtype).expand(len(z), 3, 2),
}


@pytest.mark.parametrize("form", ONE_R)
@pytest.mark.parametrize("coupled", [True, False])
def test_one_R_for_all_examples(form, coupled):
    """Behind batch norm derivatives cancel: 2e-12 was called right unless R was expanded."""
    model, x = mlp(nn.BatchNorm1d(5) if coupled else torch.tanh), torch.randn(N, 4)
    report = gt.check_model(model, x, penalty=gt.Contract(R=ONE_R[form]))
    assert report.ok is not coupled, report
    if coupled:
        assert "the same for all" in str(report)
        by_eval = gt.Contract(R=ONE_R[form], batchnorm="eval")
        assert gt.check_model(model, x, penalty=by_eval).ok


def test_tensors_among_the_options_are_compared_in_float64_too():
    model, x = tanh_net()
    probes = torch.randn(N, 3, 1, generator=g())
    report = gt.check_model(model, x, Y, gt.SpectReg(probes=probes))
    assert report["gradient"].right is True, report


def test_examples_that_see_each_other():
    model, x = made("residual net with batch norm")
    assert gt.check_model(model, x)["examples"].right is None
    assert "batchnorm='eval'" in gt.check_model(model, x)["examples"].remedy
    penalty = gt.SpectReg(generator=g(), batchnorm="eval")
    assert gt.check_model(model, x, penalty=penalty)["examples"].remedy == ""  # it is followed
    assert gt.check_model(model.eval(), x)["examples"].right is True


def test_signs_that_two_examples_share_by_chance_are_no_shared_probe():
    model, x = mlp(nn.BatchNorm1d(5)), torch.randn(2, 4)
    for seed in range(4):
        penalty = gt.SpectReg(probe="rademacher", generator=torch.Generator().manual_seed(seed))
        assert gt.check_model(model, x, penalty=penalty)["examples"].right is None


@pytest.mark.filterwarnings("ignore:mode='auto'")
@pytest.mark.parametrize("model", [*models.WRONG, *models.RIGHT], ids=str)
def test_a_report_fits_80_columns(model):
    report = str(gt.check_model(*model.made(), Y))
    assert max(map(len, report.splitlines())) <= 80


def test_a_negative_loss_gives_no_negative_lambda():
    model, x = tanh_net()
    report = gt.check_model(model, x, Y, loss=lambda z, y: F.cross_entropy(z, y) - 9)
    assert "λ = -" not in report["penalty"].text


@pytest.mark.parametrize("scale", [300, 1000])
@pytest.mark.parametrize("penalty", [gt.DoubleBack(), gt.JacReg()], ids=str)
def test_a_saturated_softmax_is_no_wrong_gradient(penalty, scale):
    """p − y is rounding where p is 1; in float64 the value then has no right digit."""
    for seed in range(6):
        torch.manual_seed(seed)
        net = mlp(torch.tanh)
        with torch.no_grad():
            net[-1].weight.mul_(scale)
        x = torch.randn(1, 4)
        report = gt.check_model(net, x, net(x).argmax(1), penalty)
        (found,) = (f for f in report.findings if f.name == "gradient")
        assert found.right is not False, str(report)


def test_a_model_that_changes_itself():
    """A parameter written in the forward pass."""
    model, x = tanh_net()

    def drifting(x):
        with torch.no_grad():
            model[0].bias.add_(0.1)
        return model(x)

    report = gt.check_model(drifting, x, Y)
    assert report["unchanged"].right is False
    assert "parameters" in report["unchanged"].text


@pytest.mark.parametrize("name", ["residual net with batch norm", "dropout"])
def test_nothing_changes(name):
    model, x = made(name)
    F.cross_entropy(model(x), Y).backward()
    before, random, generator = copy.deepcopy(model), torch.get_rng_state(), g()
    gradients = [p.grad.clone() for p in model.parameters()]
    gt.check_model(model, x, Y, gt.SpectReg(generator=generator))
    for a, b in zip(model.parameters(), before.parameters(), strict=True):
        assert torch.equal(a, b)
        assert a.dtype == torch.float32
    for a, grad in zip(model.parameters(), gradients, strict=True):
        assert torch.equal(a.grad, grad)
    for a, b in zip(model.buffers(), before.buffers(), strict=True):
        assert torch.equal(a, b)
    assert torch.equal(torch.get_rng_state(), random)
    assert torch.equal(generator.get_state(), g().get_state())


def test_the_step_of_a_penalty_does_not_move():
    model, x = tanh_net()
    penalty = gt.SpectReg(generator=g(), every=3)
    gt.check_model(model, x, Y, penalty)
    assert penalty.step == 0


def test_under_no_grad_too():
    model, x = tanh_net()
    with torch.no_grad():
        report = gt.check_model(model, x, Y)
    assert report["gradient"].right is True


def test_two_modules_with_the_same_names():
    """Both have a "weight": each is checked."""
    torch.manual_seed(0)
    first, last = nn.Linear(4, 5), nn.Linear(5, 3)
    x = torch.randn(N, 4)
    report = gt.check_model(lambda x: last(torch.tanh(first(x))), x, Y)
    assert report["parameters"].text.startswith("the penalty trains 3 of 4")
    wrong = gt.check_model(lambda x: last(intermediate(first(x))), x, Y)
    assert wrong["gradient"].right is False


def test_a_model_that_cannot_run_in_float64_is_not_decided():
    model, x = tanh_net()
    constant = torch.eye(4)
    report = gt.check_model(lambda x: model(x @ constant), x, Y)
    assert report["gradient"].right is None
    assert report.ok


def test_memory_is_what_is_held_at_once():
    def chain():
        t = torch.ones(1000)
        for _ in range(9):
            t = t + 1
        return t.add_(1).view(10, 100)  # no new storage

    def kept():
        ts = [torch.ones(1000)]
        for _ in range(9):
            ts.append(ts[-1].exp().requires_grad_())

    def graph():
        t = torch.ones(1000, requires_grad=True)
        t.exp().exp().exp().sum().backward()

    device = torch.device("cpu")
    assert cost.peak_bytes(chain, device) == 2 * 4000
    assert cost.peak_bytes(kept, device) == 10 * 4000
    # t, three outputs that the graph holds, and with them in turn a gradient and the next; the sum
    assert cost.peak_bytes(graph, device) in (5 * 4000 + 8, 6 * 4000 + 8)


def test_the_cost_has_time_and_memory_of_each_mode():
    model, x = tanh_net()
    text = gt.check_model(model, x, Y)["cost"].text
    number = r"\d+\.\d \(\d+\.\d\)"
    modes = f"reverse {number}, finite_difference {number}, forward {number}"
    assert re.fullmatch(f"plain steps of time \\(memory\\): {modes}", text)


def test_a_parameter_that_two_modules_share_counts_once():
    """The parameter was moved once and its gradient added twice: the report said WRONG."""
    torch.manual_seed(0)
    first, other, last = nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
    other.weight = first.weight
    report = gt.check_model(lambda x: last(other(first(x).tanh()).tanh()), torch.randn(N, 4), Y)
    assert report["gradient"].right
    assert report["parameters"].text.startswith("the penalty trains 4 of 5")


@pytest.mark.parametrize(
    "make", [torch.jit.script, lambda net: torch.jit.trace(net, torch.ones(N, 4))]
)
def test_a_scripted_module_with_buffers(make, recwarn):
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(4, 8), nn.BatchNorm1d(8), nn.Tanh(), nn.Linear(8, 3))
    report = gt.check_model(make(net), torch.randn(N, 4), Y)
    assert report.ok
    assert report["unchanged"].right
    assert report["gradient"].right


def test_the_table_fits_a_terminal():
    model, x = made("residual net with batch norm")
    lines = str(gt.check_model(model, x, Y)).splitlines()
    assert max(map(len, lines)) <= 82
    assert lines[0] == "SpectReg on Net, x (6, 1, 6, 6) float32 on cpu"


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda m, x: gt.check_model(m, x, penalty=gt.DoubleBack()), "expected labels y"),
        (lambda m, x: gt.check_model(m, x, Y, gt.FrobReg), "expected a penalty such as"),
        (
            lambda m, x: gt.check_model(m, {"input": 1}, Y),
            "expected input 'input' to be a tensor, got int",
        ),
        (lambda m, x: gt.check_model(lambda x: 2 * x, x), "parameters to train, got none"),
        (lambda m, x: gt.check_model(m, x, Y)["grad"], "expected one of penalty, repeatable"),
    ],
)
def test_refusals(call, message):
    model, x = tanh_net()
    with pytest.raises((TypeError, ValueError, KeyError), match=message):
        call(model, x)
