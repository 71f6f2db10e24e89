"""Settings of the process leave values and gradients as they are, to the last bit."""

from contextlib import contextmanager

import gradreg_torch as gt
import pytest
import torch
from torch import nn
from torch.overrides import TorchFunctionMode

X = torch.randn(4, 5, generator=torch.Generator().manual_seed(1))
Y = torch.tensor([0, 1, 2, 0])


def generator():
    return torch.Generator("cpu").manual_seed(2)


def net():
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Linear(5, 8), nn.BatchNorm1d(8).eval(), nn.Dropout(0.3), nn.Tanh(), nn.Linear(8, 3)
    )


def objective(model, **options):
    step = gt.objective(model, X, Y, gt.SpectReg(generator=generator(), **options))
    return step.loss + step.penalty


def losses(z, y):
    return nn.functional.cross_entropy(z, y, reduction="none")


PENALTIES = {
    **{
        f"spectreg, {law}": lambda m, law=law: gt.spectreg(m, X, generator=generator(), probe=law)
        for law in ("gaussian", "rademacher", "sphere", "orthogonal", "frames", "onehot")
    },
    **{
        f"frobreg, {mode}": lambda m, mode=mode: gt.frobreg(m, X, mode=mode)
        for mode in ("auto", "forward", "finite_difference")
    },
    "doubleback": lambda m: gt.doubleback(m, X, Y),
    "doubleback, a loss": lambda m: gt.doubleback(m, X, Y, loss=losses),
    "jacreg": lambda m: gt.jacreg(m, X),
    "onehot": lambda m: gt.onehot(m, X, Y),
    "contract": lambda m: gt.contract(m, X, lambda z, y: z[:, :, None], Y),
    "objective": objective,
    "objective, fraction": lambda m: objective(m, fraction=0.5),
}


@contextmanager
def default_dtype(dtype):
    torch.set_default_dtype(dtype)
    try:
        yield
    finally:
        torch.set_default_dtype(torch.float32)


@contextmanager
def deterministic():
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)


class Passing(TorchFunctionMode):
    def __torch_function__(self, func, types, args=(), kwargs=None):
        return func(*args, **(kwargs or {}))


SETTINGS = {
    "another default device": lambda: torch.device("meta"),
    "float64 by default": lambda: default_dtype(torch.float64),
    "bfloat16 by default": lambda: default_dtype(torch.bfloat16),
    "deterministic algorithms": deterministic,
    "anomaly detection": torch.autograd.detect_anomaly,
    "one thread of autograd": lambda: torch.autograd.set_multithreading_enabled(False),
    "saved tensors copied": torch.autograd.graph.save_on_cpu,
    "a function mode": Passing,
    "autocast switched off": lambda: torch.autocast("cpu", enabled=False),
}


def value_and_gradient(penalty, model):
    torch.manual_seed(3)  # the masks of dropout
    value = penalty(model)
    value.backward()
    return [value.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.filterwarnings("ignore:Anomaly Detection")
@pytest.mark.parametrize("setting", SETTINGS.values(), ids=SETTINGS)
def test_a_setting_changes_no_number(setting):
    for name, penalty in PENALTIES.items():
        expected, model = value_and_gradient(penalty, net()), net()
        with setting():
            got = value_and_gradient(penalty, model)
        assert len(got) == len(expected), name
        assert all(map(torch.equal, got, expected)), name


def test_check_model_says_the_same_beside_another_default_device():
    def findings(model):
        return [f for f in gt.check_model(model, X, Y, gt.JacReg()).findings if f.name != "cost"]

    expected, model = findings(net()), net()
    with torch.device("meta"):
        assert findings(model) == expected
