"""Values on an accelerator: what they show is refused in passes that are tried; and devices."""

import sys

import gradreg_torch as gt
import pytest
import torch
from torch import nn

device = sys.modules.get("tests.emulated.device")
if device is None:
    pytest.skip("needs the emulated device of `nox -s device`", allow_module_level=True)
HERE = device.NAME
N, M = 6, 5


def generator():
    return torch.Generator(HERE).manual_seed(0)


def net():
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, M)).to(HERE)
    x, y, r = torch.rand(N, 8), torch.arange(N) % M, torch.randn(N, M, 1)
    return model, x.to(HERE), y.to(HERE), r.to(HERE)


def after_root(x):
    """A model with an infinite slope at 0."""
    return net()[0](x.sqrt())


def objective(x, y, penalty=None, **options):
    model, _, _, r = net()
    if penalty is None:
        penalty, options = gt.SpectReg(), {"probes": r}
    return gt.objective(model, x, y, penalty, **options)


ROWS = torch.full((N, M), 0.5)


def no_number(z, y):
    """A training loss."""
    return (z - z - 1).log().mean()


WRONG = {
    "NaN in forward mode": (lambda x, y: gt.frobreg(net()[0], x / 0, mode="forward"), "input 0"),
    "an infinite Jacobian": (lambda x, y: gt.frobreg(after_root, 0 * x), "a finite penalty"),
    "labels of the loss": (lambda x, y: objective(x, y + M), r"labels in \[0, 5\)"),
    "probabilities of the loss": (lambda x, y: objective(x, ROWS.to(HERE)), "to be probabilities"),
    "a loss that is no number": (
        lambda x, y: objective(x, y, gt.FrobReg(), loss=no_number),
        "a finite training loss",
    ),
    "labels of a loss in evaluation": (
        lambda x, y: objective(x, y - 1, gt.FrobReg().eval()),
        r"labels in \[0, 5\)",
    ),
    "NaN beside unlabelled inputs": (
        lambda x, y: objective(x / 0, y, gt.FrobReg(), unlabelled=x),
        "expected input 0 finite",
    ),
    "NaN in the rest of a fraction": (
        lambda x, y: objective(
            torch.where(torch.arange(N, device=HERE)[:, None] == 0, torch.nan, x),
            y,
            gt.FrobReg(fraction=0.2, generator=generator()),
        ),
        "expected input 0 finite",
    ),
}


@pytest.fixture(params=[True, False], ids=["float64", "no float64"])
def _float64(request):
    with device.float64(request.param):
        yield


@pytest.mark.usefixtures("_float64")
@pytest.mark.parametrize("what", WRONG)
def test_what_values_show_is_refused_in_the_first_pass(what):
    attempt, message = WRONG[what]
    _, x, y, _ = net()
    with pytest.raises(ValueError, match=message):
        attempt(x, y)


def test_an_infinite_penalty_is_not_looked_for_without_check_values():
    _, x, *_ = net()
    assert gt.frobreg(after_root, 0 * x, check_values=False).isinf()


FRACTION = {"fraction": 0.5, "generator": generator()}
ELSEWHERE = {
    "x": (lambda m, x, y, r: gt.spectreg(m, x.cpu(), probes=r), "input 0 on emulated:0"),
    "x of a plain pass": (
        lambda m, x, y, r: gt.objective(m, x.cpu(), y, gt.FrobReg(), unlabelled=x),
        "input 0 on emulated:0",
    ),
    "one of two inputs": (
        lambda m, x, y, r: gt.frobreg(lambda a, b: m(a * b), {"a": x, "b": x.cpu()}, wrt="a"),
        "input 'b' on emulated:0 .* got cpu; move it with .to",
    ),
    "labels of a part": (
        lambda m, x, y, r: gt.objective(m, x, y.cpu(), gt.DoubleBack(**FRACTION)),
        "y on emulated:0 like the logits",
    ),
    "probes of a part": (
        lambda m, x, y, r: gt.SpectReg(**FRACTION)(m, x, probes=r.cpu()),
        "probes on emulated:0 like the logits",
    ),
}


@pytest.mark.parametrize("what", ELSEWHERE)
def test_a_tensor_on_another_device_is_named(what):
    attempt, message = ELSEWHERE[what]
    with pytest.raises(ValueError, match=message):
        attempt(*net())


def test_an_error_of_the_models_own_is_the_models():
    _, x, *_ = net()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        gt.frobreg(net()[0], torch.cat([x, x], dim=1))


FORMS = {
    "reverse": lambda f, x, y, r: gt.spectreg(f, x, probes=r),
    "forward": lambda f, x, y, r: gt.frobreg(f, x, mode="forward"),
    "differences": lambda f, x, y, r: gt.spectreg(f, x, probes=r, mode="finite_difference"),
    "a fraction": lambda f, x, y, r: gt.FrobReg(fraction=0.5, generator=generator())(f, x),
}


@pytest.mark.parametrize("form", FORMS)
def test_a_model_may_move_its_inputs(form):
    model, x, y, r = net()
    expected = FORMS[form](model, x, y, r)
    got = FORMS[form](lambda x: model(x.to(HERE)), x.cpu(), y, r)
    torch.testing.assert_close(got.cpu(), expected.cpu())
    got.backward()
