"""The torch backend on an accelerator, with float64 and without: `nox -s device`."""

import sys
from itertools import count

import gradreg_torch as gt
import pytest
import torch
from gradreg_torch._engine import coarse
from gradreg_torch._engine import random as replay
from gradreg_torch._engine.trial import due
from gradreg_torch.probes import LAWS
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from gradreg_verify import verify
from gradreg_verify.frameworks.registry import BackendUnavailable, load, require_device

device = sys.modules.get("tests.emulated.device")
if device is None:
    pytest.skip("needs the emulated device of `nox -s device`", allow_module_level=True)
HERE = device.NAME
N, M = 6, 5
NETWORKS = {
    "MLP": ((8,), lambda: [nn.Linear(8, 16), nn.ReLU(), nn.Linear(16, M)]),
    "convolutions": (
        (1, 8, 8),
        lambda: [nn.Conv2d(1, 4, 3), nn.MaxPool2d(2), nn.Tanh(), nn.Flatten(), nn.Linear(36, M)],
    ),
    "batch norm": (
        (8,),
        lambda: [nn.Linear(8, 16), nn.BatchNorm1d(16), nn.Tanh(), nn.Linear(16, M)],
    ),
    "group norm": (
        (4, 6),
        lambda: [nn.GroupNorm(2, 4), nn.Conv1d(4, 6, 3), nn.GELU(), nn.Flatten(), nn.Linear(24, M)],
    ),
    "attention": (
        (4, 8),
        lambda: [
            nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True),
            *(nn.Flatten(), nn.Linear(32, M)),
        ],
    ),
}


def confident(z, y):
    """R of logits: p."""
    return z.softmax(dim=1)[:, :, None]


PENALTIES = {
    "spectreg": lambda net, x, y, r, **o: gt.spectreg(net, x, probes=r, **o),
    "frobreg": lambda net, x, y, r, **o: gt.frobreg(net, x, batchnorm="eval", **o),
    "jacreg": lambda net, x, y, r, **o: gt.jacreg(net, x, probes=r, **o),
    "doubleback": lambda net, x, y, r, **o: gt.doubleback(net, x, y, **o),
    "contract": lambda net, x, y, r, **o: gt.contract(net, x, confident, **o),
    "objective": lambda net, x, y, r, **o: sum(
        gt.objective(net, x, y, gt.SpectReg(**o), probes=r)[:2]
    ),
}
# Of a gradient's difference from that on the CPU: rounding, which a step of ∛ε or √ε divides.
LIMITS = {"reverse": 1e-5, "finite_difference": 1e-3, "one_sided_difference": 1e-2}


@pytest.fixture(params=[True, False], ids=["float64", "no float64"])
def has_float64(request):
    with device.float64(request.param):
        yield request.param


def net(name="MLP", where=HERE):
    torch.manual_seed(0)
    shape, layers = NETWORKS[name]
    g = torch.Generator().manual_seed(1)
    x, r = torch.randn(N, *shape, generator=g), torch.randn(N, M, 1, generator=g)
    y = torch.arange(N) % M
    return nn.Sequential(*layers()).to(where), x.to(where), y.to(where), r.to(where)


def gradient(value, model):
    parameters = [p for p in model.parameters() if p.requires_grad]
    found = torch.autograd.grad(value, parameters, materialize_grads=True, allow_unused=True)
    return torch.cat([g.flatten() for g in found]).cpu().double()


def generator(seed=0):
    return torch.Generator(HERE).manual_seed(seed)


@pytest.mark.parametrize("mode", LIMITS)
@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", NETWORKS)
def test_value_and_gradient_are_those_of_the_cpu(name, penalty, mode, has_float64):
    found = {}
    for where in ("cpu", HERE):
        model, *given = net(name, where)
        value = PENALTIES[penalty](model, *given, mode=mode)
        assert value.device.type == where
        found[where] = value.item(), gradient(value, model)
    (value, expected), (here, got) = found["cpu"], found[HERE]
    assert here == pytest.approx(value, rel=1e-5)
    assert (got - expected).norm() < LIMITS[mode] * expected.norm()


@pytest.mark.parametrize("penalty", PENALTIES)
@pytest.mark.parametrize("name", ["convolutions", "batch norm", "group norm", "attention"])
def test_reverse_mode_with_the_products_of_tf32(name, penalty, has_float64):
    """Within a few roundings of 2⁻¹¹; without ReLUs, which rounding switches."""
    model, *given = net(name)
    expected = gradient(PENALTIES[penalty](model, *given), model)
    with device.tf32():
        got = gradient(PENALTIES[penalty](model, *given), model)
    assert 0 < (got - expected).norm() < 0.01 * expected.norm()


@pytest.mark.filterwarnings("ignore:mode='auto' takes finite differences")
@pytest.mark.parametrize("mode", ["auto", "finite_difference", "one_sided_difference"])
def test_differences_are_refused_while_products_are_of_tf32(mode, has_float64):
    model, x, _, r = net("convolutions")
    model[2] = nn.Hardsigmoid()  # has no second derivative
    with device.tf32():
        for _ in range(2):  # what these passes showed says nothing about differences
            with pytest.raises(ValueError, match="differentiated twice"):
                gt.spectreg(model, x, probes=r, mode="reverse")
        for _ in range(3):  # in the first pass, and in later ones
            with pytest.raises(ValueError, match=r"allow_tf32 = .*allow_tf32 = False"):
                gt.spectreg(model, x, probes=r, mode=mode)
        torch.backends.cudnn.allow_tf32 = torch.backends.cuda.matmul.allow_tf32 = False
        gt.spectreg(model, x, probes=r, mode=mode).backward()


def test_a_sum_that_cancels_is_not_taken_for_coarse_products():
    """Jᵀr = (10⁶ + 1) r − 10⁶ r has lost its digits, whatever the device rounds."""
    given = lambda r: ((1e6 + 1) * r - 1e6 * r,), torch.empty(N, M, device=HERE), {torch.float32}
    assert coarse.of_pass(*given[:2]) > coarse.MUCH
    assert not coarse.is_coarse(*given)
    with device.tf32():
        assert coarse.is_coarse(*given)


def test_forward_mode(has_float64):
    model, x, *_ = net()
    v = torch.randn(N, 8, 1, generator=generator(), device=HERE)
    assert gt.spectreg(model, x, probes=v, mode="forward").item() == pytest.approx(
        gt.spectreg(model.cpu(), x.cpu(), probes=v.cpu(), mode="forward").item(), rel=1e-5
    )


def off_by_dropout():
    """How far the gradient by differences is from that of reverse mode, with one dropout mask."""
    _, x, _, r = net()
    model = nn.Sequential(nn.Linear(8, 64), nn.Dropout(0.5), nn.Linear(64, M)).to(HERE)
    torch.manual_seed(3)
    expected = gradient(gt.spectreg(model, x, probes=r, mode="reverse"), model)
    torch.manual_seed(3)
    options = {"mode": "finite_difference", "check_values": False}
    got = gradient(gt.spectreg(model, x, probes=r, **options), model)
    return (got - expected).norm() / expected.norm()


def test_repeated_passes_have_the_dropout_masks_of_the_first(has_float64):
    assert off_by_dropout() < 1e-3


def test_other_masks_would_be_seen(monkeypatch):
    monkeypatch.setattr(replay, "device_module", lambda x: None)
    assert off_by_dropout() > 0.1


@pytest.mark.parametrize("law", LAWS)
def test_probes_are_drawn_on_the_device(law, has_float64):
    q = 3 if law == "orthogonal" else 1
    r = gt.draw_probes(law, 4, M, q, generator=generator())
    assert (r.device.type, r.dtype, r.shape) == (HERE, torch.float32, (4, M, q))
    if law != "gaussian":
        squares = M * torch.eye(q).expand(4, q, q)
        torch.testing.assert_close((r.mT @ r).cpu(), squares, rtol=1e-5, atol=1e-5)


class Reader(TorchDispatchMode):
    """Counts the values that are read."""

    read = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        self.read += func is torch.ops.aten._local_scalar_dense.default
        return func(*args, **kwargs or {})


@pytest.mark.parametrize(
    "options",
    [{}, {"every": 2}, {"fraction": 0.5}, {"mode": "forward"}, {"mode": "finite_difference"}],
    ids=str,
)
def test_values_are_read_in_passes_that_are_tried(options):
    """In penalties 1, 2, 4, 8 of a model, and in no other: a read waits for the device."""
    model, x, y, _ = net()
    penalty, every = gt.SpectReg(generator=generator(), **options), options.get("every", 1)
    for step in range(9):
        with Reader() as reader:
            loss, value, _ = gt.objective(model, x, y, penalty)
            (loss + value).backward()
        is_tried = step % every == 0 and due(step // every + 1)
        assert (reader.read > 0) == is_tried, step


ONES = torch.ones(N, M, 1)
WRONG = {
    "labels": (lambda x, y: gt.doubleback(net()[0], x, y + M), "labels in"),
    "NaN": (lambda x, y: gt.frobreg(net()[0], x / 0), "input 0 finite"),
    "one R": (lambda x, y: gt.contract(net("batch norm")[0], x, ONES.to(HERE)), "batch norm"),
}


@pytest.mark.parametrize("what", WRONG)
def test_what_only_values_show_is_refused_in_the_first_pass(what, has_float64):
    attempt, message = WRONG[what]
    _, x, y, _ = net()
    with pytest.raises(ValueError, match=message):
        attempt(x, y)


@pytest.mark.parametrize("mode", [*LIMITS, "forward"])
def test_a_model_on_two_devices(mode, has_float64):
    """Its gradients were joined without a look at where they are: torch's words."""
    model, x, _, r = net(where="cpu")
    first, last = model[:2], model[2].to(HERE)

    def moves(x):
        return last(first(x).to(HERE))

    side = x.new_ones(N, 8, 1) if mode == "forward" else r.to(HERE)
    value = gt.spectreg(moves, x, probes=side, mode=mode)
    right = gt.spectreg(net(where="cpu")[0], x, probes=side.to("cpu"), mode=mode)
    torch.testing.assert_close(value.cpu(), right)


def test_noise_of_a_models_own(has_float64):
    model, x, _, r = net()
    numbers = count(1.0)
    with pytest.raises(ValueError, match="expected the same function in every pass"):
        gt.spectreg(lambda x: model(x) * next(numbers), x, probes=r, mode="finite_difference")


class Doubled(torch.autograd.Function):
    """A square whose first derivative is right, and whose second is missing."""

    @staticmethod
    def forward(ctx, t):
        ctx.save_for_backward(t)
        return t * t

    @staticmethod
    def backward(ctx, g):
        (t,) = ctx.saved_tensors
        return 2 * t.detach() * g


def clipped(t):
    t = t.clone()
    t.register_hook(lambda g: g.clamp(-1e-3, 1e-3))
    return t


@pytest.mark.parametrize("f", [Doubled.apply, clipped])
def test_wrong_backward_passes_are_refused(f, has_float64):
    model, x, *_ = net()
    with pytest.raises(ValueError, match=r"twice|leave gradients as they are"):
        gt.frobreg(lambda x: model[2](f(model[0](x))), x, mode="reverse")


def test_a_generator_of_another_device():
    model, x, *_ = net()
    with pytest.raises(ValueError, match=r"make it with torch.Generator\('emulated:0'\)"):
        gt.spectreg(model, x, generator=torch.Generator())
    gt.spectreg(model, x, generator=torch.Generator("emulated:0"))  # the remedy


@pytest.mark.parametrize("name", NETWORKS)
def test_sums_in_another_order_change_no_verdict(name):
    model, x, y, _ = net(name)
    with device.unordered():
        report = gt.check_model(model, x, y, gt.SpectReg(generator=generator()))
        assert report.ok, report
        repeated = {gt.frobreg(model, x, batchnorm="eval").item() for _ in range(99)}
    assert len(repeated) > 1


def test_check_model(has_float64):
    model, x, y, _ = net()
    report = gt.check_model(model, x, y, gt.DoubleBack())
    assert report.ok
    assert report["gradient"].right is (True if has_float64 else None)
    assert has_float64 or report["gradient"].remedy == "check model and x on the CPU"


def test_every_claim_holds():
    with device.tf32(), device.unordered():
        report = verify(load("torch"), device="emulated:0")
    assert report.ok, report


def test_the_kit_needs_float64(has_float64):
    backend = load("torch")
    assert ("emulated:0" in backend.capabilities().devices) is has_float64
    for name in ("emulated:0", "emulated"):
        if has_float64:
            require_device(backend, name)
        else:
            with pytest.raises(BackendUnavailable, match=f"with float64 among cpu; got '{name}'"):
                require_device(backend, name)
