"""Every argument of every penalty arrives: what each changes, and what is said of a bad one."""

import gradreg_torch as gt
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from gradreg_ref import networks as ref
from gradreg_verify.frameworks.torch import to_torch

X = torch.randn(4, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.tensor([0, 2, 1, 0])
W = torch.randn(3, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
NAN = X.clone().index_fill_(0, torch.tensor([1]), torch.nan)


def rng():
    return torch.Generator().manual_seed(0)


PENALTIES = {
    "frobreg": gt.frobreg,
    "spectreg": lambda model, x, **options: gt.spectreg(model, x, generator=rng(), **options),
    "doubleback": lambda model, x, **options: gt.doubleback(model, x, Y, **options),
    "jacreg": gt.jacreg,
    "projected jacreg": lambda model, x, **options: gt.jacreg(
        model, x, num_probes=1, generator=rng(), **options
    ),
    "onehot": lambda model, x, **options: gt.onehot(model, x, Y, **options),
}
CHUNKED = ("frobreg", "spectreg", "jacreg", "projected jacreg")


@pytest.mark.parametrize("name", PENALTIES)
def test_wrt(name):
    fn = PENALTIES[name]
    both = fn(lambda a, b: (a @ W) ** 2 + b @ W, (X, X), wrt=1)
    alone = fn(lambda b: (X @ W) ** 2 + b @ W, X)
    assert both == alone


@pytest.mark.parametrize("name", PENALTIES)
def test_check_values(name):
    fn = PENALTIES[name]
    with pytest.raises(ValueError, match="finite"):
        fn(lambda x: x @ W, NAN)
    assert fn(lambda x: (x @ W) ** 2, NAN, check_values=False).isnan()


def test_numbers_of_probes_are_integers_of_any_kind():
    for fn in (gt.spectreg, gt.jacreg):
        two = fn(lambda x: x @ W, X, num_probes=2, generator=rng())
        assert fn(lambda x: x @ W, X, num_probes=np.int64(2), generator=rng()) == two
        r = gt.draw_probes("gaussian", 4, 3, np.int32(2), generator=rng(), dtype=torch.float64)
        assert fn(lambda x: x @ W, X, probes=r, num_probes=np.int64(2)) == two
    for mode in ("reverse", "forward"):
        value = gt.frobreg(lambda x: x @ W, X, mode=mode)
        for size in (np.int64(2), 10**30):
            assert gt.frobreg(lambda x: x @ W, X, mode=mode, chunk_size=size) == value
    for bad in (2.0, "2", np.True_, torch.tensor(2)):
        with pytest.raises(ValueError, match="expected num_probes to be a whole number"):
            gt.spectreg(lambda x: x @ W, X, num_probes=bad, generator=rng())


@pytest.mark.parametrize("dtype", [torch.int8, torch.uint8, torch.uint16, torch.uint64])
def test_labels_of_any_integer_dtype(dtype):
    model = nn.Linear(3, 3).double()
    assert gt.onehot(model, X, Y.to(dtype)) == gt.onehot(model, X, Y)
    step = gt.objective(model, X, Y.to(dtype), gt.DoubleBack())
    assert step[:2] == gt.objective(model, X, Y, gt.DoubleBack())[:2]
    with pytest.raises(ValueError, match=r"expected labels in \[0, 3\), got 1 to 3"):
        gt.doubleback(model, X, (Y + 1).to(dtype))


def test_check_values_of_the_objective():
    options = {"loss": "mean_squared_error", "check_values": False}
    step = gt.objective(nn.Linear(3, 3).double(), NAN, X, gt.FrobReg(), **options)
    assert step.loss.isnan()


@pytest.mark.parametrize("name", CHUNKED)
def test_chunk_size(name):
    with pytest.raises(ValueError, match="expected chunk_size to be a whole number"):
        PENALTIES[name](lambda x: x @ W, X, chunk_size=0)


def test_chunk_size_under_no_grad():
    with torch.no_grad():
        value = gt.frobreg(lambda x: (x @ W) ** 2, X, chunk_size=1)
    assert value.item() == pytest.approx(gt.frobreg(lambda x: (x @ W) ** 2, X).item(), rel=1e-14)


@pytest.mark.parametrize("name", PENALTIES)
def test_single_precision_stays(name):
    model = nn.Linear(3, 3)
    assert PENALTIES[name](model, X.float()).dtype == torch.float32


MESSAGES = {
    "expected reduction to be one of": lambda: gt.frobreg(lambda x: x @ W, X, reduction="max"),
    "expected probe to be one of": lambda: gt.spectreg(
        lambda x: x @ W, X, probe="uniform", generator=rng()
    ),
    "expected num_probes to be a whole number": lambda: gt.spectreg(
        lambda x: x @ W, X, num_probes=True, generator=rng()
    ),
    "expected loss to be one of": lambda: gt.doubleback(lambda x: x @ W, X, Y, loss="hinge"),
    "expected y to be a tensor": lambda: gt.doubleback(lambda x: x @ W, X, [0, 2, 1, 0]),
    "expected input 'logits' ": lambda: gt.confidence_penalty(torch.ones(2, 3, dtype=int)),
    "expected probes with shape (1, 3, q)": lambda: gt.spectreg(
        lambda x: x @ W, X, probes=torch.ones(4, 3, 1, dtype=torch.float64), shared_probe=True
    ),
    "expected per-example losses with shape (4,), got ()": lambda: gt.doubleback(
        lambda x: x @ W, X, Y, loss=F.cross_entropy
    ),
    "expected per-example losses with shape (4,), got float": lambda: gt.doubleback(
        lambda x: x @ W, X, Y, loss=lambda z, y: 1.0
    ),
}


@pytest.mark.parametrize("message", MESSAGES)
def test_an_error_begins_by_naming_what_is_wrong(message):
    with pytest.raises((ValueError, TypeError)) as error:
        MESSAGES[message]()
    assert str(error.value).startswith(message)


CONSTRUCTED = {
    "expected probe to be one of": lambda: gt.SpectReg(probe="uniform", generator=rng()),
    "expected num_probes to be a whole number": lambda: gt.JacReg(num_probes=0, generator=rng()),
    "expected shared_probe=True or False": lambda: gt.SpectReg(shared_probe="False"),
    "expected loss to be one of": lambda: gt.DoubleBack(loss="hinge"),
    "expected mode to be one of": lambda: gt.FrobReg(mode="backward"),
    "expected batchnorm to be one of": lambda: gt.Onehot(batchnorm="train"),
    "expected reduction to be one of": lambda: gt.DoubleBack(reduction="max"),
    "expected chunk_size to be a whole number": lambda: gt.FrobReg(chunk_size=0.5),
    "expected mode='reverse' or 'finite_difference', got": lambda: gt.Onehot(mode="forward"),
    "expected check_values=True, False or None": lambda: gt.FrobReg(check_values="False"),
    "expected generator=torch.Generator": lambda: gt.FrobReg(fraction=0.5, generator=0),
    "expected R to be a tensor, got int": lambda: gt.Contract(R=3),
    "expected Contract(R=...)": gt.Contract,
    "expected FrobReg without generator": lambda: gt.FrobReg(generator=rng()),
    "expected num_probes >= 1 with probe": lambda: gt.JacReg(generator=rng()),
}


@pytest.mark.parametrize("message", CONSTRUCTED)
def test_a_module_refuses_its_options_where_it_is_made(message):
    """Not in the first step of a run that waited for its turn."""
    with pytest.raises((ValueError, TypeError)) as error:
        CONSTRUCTED[message]()
    assert str(error.value).startswith(message)


def test_probes_of_a_call_may_be_shared():
    """What a compiled step needs; the module was refused, as it has no probes where it is made."""
    model, r = nn.Linear(3, 3).double(), torch.randn(1, 3, 1, generator=rng(), dtype=torch.float64)
    penalty = gt.JacReg(shared_probe=True)
    expected = gt.jacreg(model, X, probes=r, shared_probe=True)
    assert torch.equal(penalty(model, X, probes=r), expected)
    with pytest.raises(ValueError, match="which belong to the projected form, got num_probes=None"):
        penalty(model, X)


def test_a_fraction_of_an_exact_penalty():
    """The generator draws the part; JacReg without probes has no other use for it."""
    model = nn.Linear(3, 3).double()
    got = gt.objective(model, X, Y, gt.JacReg(fraction=0.5, generator=rng())).penalty
    pairs = [gt.jacreg(model, X[[i, j]]) for i in range(4) for j in range(i)]
    assert any(torch.isclose(got, each) for each in pairs)


@pytest.mark.parametrize("message", ["y", "loss"])
def test_an_error_of_the_objective(message):
    bad = {"y": (X.tolist(), "mean_squared_error"), "loss": (X, "hinge")}[message]
    with pytest.raises((ValueError, TypeError), match=f"^expected {message} to be"):
        gt.objective(nn.Linear(3, 3).double(), X, bad[0], gt.FrobReg(), loss=bad[1])


def gradient(value, model):
    return torch.cat(
        [g.flatten() for g in torch.autograd.grad(value, [*model.parameters()], retain_graph=True)]
    )


@pytest.mark.parametrize(
    ("loss", "y", "function"),
    [
        ("mean_squared_error", X.flip(0), F.mse_loss),
        ("cross_entropy", Y, F.cross_entropy),
        (F.cross_entropy, Y, F.cross_entropy),
    ],
)
def test_the_loss_of_the_objective_is_torch_s(loss, y, function):
    torch.manual_seed(0)
    model = nn.Linear(3, 3).double()
    step = gt.objective(model, X, y, gt.FrobReg(), loss=loss)
    expected = function(model(X), y)
    torch.testing.assert_close(step.loss, expected)
    torch.testing.assert_close(gradient(step.loss, model), gradient(expected, model))
    torch.testing.assert_close(
        gradient(step.logits.square().sum(), model), gradient(model(X).square().sum(), model)
    )


def test_a_loss_by_function_is_differentiated_in_the_parameters_too():
    torch.manual_seed(0)
    model = nn.Linear(3, 3).double()
    per_example = gt.DoubleBack(loss=lambda z, y: F.cross_entropy(z, y, reduction="none"))
    named = gradient(gt.doubleback(model, X, Y) + 0 * model.bias.sum(), model)
    torch.testing.assert_close(gradient(per_example(model, X, Y), model), named)
    step = gt.objective(model, X, Y, per_example, loss=F.cross_entropy)
    torch.testing.assert_close(gradient(step.penalty, model), named)


def test_probabilities_may_be_zero_but_sum_to_one():
    rows = torch.tensor([[1.0, 0.0, 0.0]] * 4, dtype=torch.float64)
    assert gt.doubleback(lambda x: x @ W, X, rows) > 0
    with pytest.raises(ValueError, match="summing to 1"):
        gt.doubleback(lambda x: x @ W, X, rows * 1.5)
    with pytest.raises(ValueError, match="expected labels in"):
        gt.objective(nn.Linear(3, 3).double(), X, Y + 3, gt.FrobReg())


def test_options_in_a_row():
    assert gt.SpectReg(probe="sphere", num_probes=2).extra_repr() == "probe='sphere', num_probes=2"


@pytest.mark.parametrize(
    ("layer", "x"),
    [
        (ref.Linear(W.numpy()), X.numpy()),
        (ref.Linear(np.ones((2, 3)), np.arange(2.0)), X.numpy()),
        (ref.Conv2d(np.ones((2, 1, 2, 2))), np.arange(9.0).reshape(1, 1, 3, 3)),
        (ref.Conv2d(np.ones((2, 1, 2, 2)), np.arange(2.0)), np.arange(9.0).reshape(1, 1, 3, 3)),
        (ref.BatchNorm(*np.arange(12.0).reshape(4, 3), eps=0.5), X.numpy()),
        (ref.AvgPool2d(2, 1), np.arange(9.0).reshape(1, 1, 3, 3)),
        (ref.MaxPool2d(2, 1), np.arange(9.0).reshape(1, 1, 3, 3)),
    ],
)
def test_layers_as_modules(layer, x):
    network = ref.Network((layer,))
    module = to_torch(network)
    flat = torch.from_numpy(x)
    np.testing.assert_allclose(
        module(flat).detach().numpy().reshape(len(x), -1), network.forward(x), rtol=1e-13
    )
    assert len(list(module.parameters())) == len(
        [a for a in layer.parameter_names if getattr(layer, a) is not None]
    )
    if isinstance(module[0], nn.Linear):
        assert module[0].out_features == len(layer.weight)
