"""Modules behind a script, a callable, a compiler or a transform: as the module itself."""

from functools import partial
from types import SimpleNamespace

import gradreg_torch as gt
import numpy as np
import pytest
import torch
from torch import nn
from torch_backend.safety.common import SEED, Around, gradients, with_batch_norm


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_scripted_modules(x):
    """From its second run a scripted module is one node that hides batch norm."""
    plain, r = with_batch_norm(), torch.randn(6, 3, 1, dtype=torch.float64)
    scripted = torch.jit.script(plain)
    for _ in range(3):
        scripted(x)
    before = {name: b.clone() for name, b in plain.named_buffers()}
    for call in (
        partial(gt.frobreg, scripted, x),
        partial(gt.spectreg, scripted, x, probes=r, batchnorm="eval"),
        partial(gt.spectreg, scripted, x, probes=r, batchnorm="error"),
    ):
        with pytest.raises(ValueError, match=r"depend on each other|couples the examples"):
            call()
    value = gt.spectreg(scripted, x, probes=r)
    torch.testing.assert_close(value, gt.spectreg(plain, x, probes=r))
    gradient = gradients(value, scripted)
    assert all(torch.equal(b, before[name]) for name, b in plain.named_buffers())
    torch.testing.assert_close(gradient, gradients(gt.spectreg(plain, x, probes=r), plain))


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
@pytest.mark.parametrize("mode", ["reverse", "forward"])
def test_frozen_modules_are_measured(mode, x):
    """They have no mode any more, and no parameters: a bare AttributeError said so."""
    plain = with_batch_norm().eval()
    frozen = torch.jit.freeze(torch.jit.script(plain))
    for _ in range(3):
        frozen(x)
    value = gt.frobreg(frozen, x, mode=mode)
    torch.testing.assert_close(value, gt.frobreg(plain, x))
    with pytest.raises(ValueError, match=r"torch\.jit\.freeze, pass the module before freezing"):
        gt.check_model(frozen, x)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
@pytest.mark.filterwarnings("ignore:.*torch.jit:FutureWarning")
def test_differences_do_not_see_the_kinks_of_a_scripted_module(x):
    plain = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3)).double()
    scripted = torch.jit.script(plain)
    with pytest.raises(ValueError, match=r"operations in Python.*mode='reverse'"):
        gt.frobreg(scripted, x, mode="finite_difference")


class Caller:
    def __init__(self, model):
        self.holder = SimpleNamespace(model=model)

    def __call__(self, x):
        return self.holder.model(x)


HIDDEN = {
    "lambda": lambda model: lambda x: model(x),
    "partial": lambda model: partial(lambda model, x: model(x), model),
    "method": lambda model: model.forward,
    "object": lambda model: Caller(model),
    "list": lambda model: (lambda models: lambda x: models[0](x))([model]),
}


@pytest.mark.parametrize("form", HIDDEN)
@pytest.mark.parametrize("mode", ["reverse", "finite_difference"])
def test_a_callable_moves_statistics_like_its_module(form, mode, x):
    """A penalty by itself moves none; an objective moves them once."""
    r = torch.randn(6, 3, 1, dtype=torch.float64)
    model, expected = with_batch_norm(), with_batch_norm()
    hidden = HIDDEN[form](model)
    value = gt.spectreg(hidden, x, probes=r, mode=mode)
    assert all(torch.equal(*pair) for pair in zip(model.buffers(), expected.buffers(), strict=True))
    torch.testing.assert_close(value, gt.spectreg(expected, x, probes=r, mode=mode))
    y = torch.zeros(6, dtype=torch.int64)
    gt.objective(hidden, x, y, gt.SpectReg(mode=mode), probes=r)
    expected(x)
    assert all(torch.equal(*pair) for pair in zip(model.buffers(), expected.buffers(), strict=True))


def test_a_compiled_module_in_a_lambda(x):
    plain, r = Around(torch.tanh), torch.randn(6, 3, 1, dtype=torch.float64)
    compiled = torch.compile(plain, backend="aot_eager")
    expected = gradients(gt.spectreg(plain, x, probes=r), plain)
    value = gt.spectreg(lambda x: compiled(x), x, probes=r)
    torch.testing.assert_close(gradients(value, plain), expected)


@pytest.mark.parametrize("mode", ["finite_difference", "one_sided_difference"])
def test_differences_of_a_model_with_noise_of_its_own(mode, x):
    """Noise that is not replayed: the gradient was wrong by a factor of 133."""
    rng, model = np.random.default_rng(SEED), nn.Linear(4, 3).double()

    def noisy(x):
        return model(x + torch.from_numpy(rng.normal(scale=0.1, size=x.shape))).tanh()

    with pytest.raises(ValueError, match="draws random numbers"):
        gt.frobreg(noisy, x, mode=mode)


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize("mode", ["finite_difference", "one_sided_difference"])
@pytest.mark.parametrize("scale", [1e-6, 1.0, 30.0])
def test_differences_of_right_models_are_no_false_alarm(mode, dtype, scale, x):
    torch.manual_seed(SEED)
    layers = nn.Linear(4, 40), nn.Tanh(), nn.Dropout(), nn.Linear(40, 40), nn.Softplus()
    model = nn.Sequential(*layers, nn.Linear(40, 3)).to(dtype)
    gt.frobreg(lambda x: scale * model(x), x.to(dtype), mode=mode).backward()


def test_inside_transforms_of_torch_func(x):
    """`grad` in the parameters, `vmap` over an ensemble: values and gradients of the plain form."""
    model, r = with_batch_norm().eval(), torch.randn(6, 3, 1, dtype=torch.float64)

    def penalty(parameters):
        run = partial(torch.func.functional_call, model, parameters)
        return gt.spectreg(run, x, probes=r)

    parameters = dict(model.named_parameters())
    found = torch.func.grad(penalty)(parameters)
    expected = gradients(gt.spectreg(model, x, probes=r), model)
    torch.testing.assert_close(torch.cat([g.flatten() for g in found.values()]), expected)
    several = {n: torch.stack([p, 2 * p, 3 * p]).detach() for n, p in parameters.items()}
    each = [penalty({n: p[i] for n, p in several.items()}) for i in range(3)]
    torch.testing.assert_close(torch.func.vmap(penalty)(several), torch.stack(each))
