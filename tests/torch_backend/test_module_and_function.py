"""A module and its function accept the same options, with the same value or the same words."""

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from torch import nn

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
Y = torch.tensor([0, 1, 2, 0, 1, 2])
R = torch.randn(6, 3, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
PENALTIES = {
    "frobreg": (gt.frobreg, gt.FrobReg, {}),
    "spectreg": (gt.spectreg, gt.SpectReg, {}),
    "jacreg": (gt.jacreg, gt.JacReg, {}),
    "doubleback": (gt.doubleback, gt.DoubleBack, {}),
    "onehot": (gt.onehot, gt.Onehot, {}),
    "contract": (gt.contract, gt.Contract, {"R": R}),
}
LABELLED = ("doubleback", "onehot")
PROBES = R[:, :, :1]


def rng():
    return torch.Generator().manual_seed(0)


OPTIONS = [
    {},
    {"generator": rng},
    {"probes": PROBES},
    {"probes": PROBES, "generator": rng},
    {"probes": PROBES, "probe": "sphere"},
    {"probes": PROBES, "num_probes": 2},
    {"probes": PROBES[:1], "shared_probe": True, "generator": rng},
    {"probes": PROBES.float()},
    {"probes": "x", "generator": rng},
    {"num_probes": 2, "generator": rng},
    {"num_probes": True, "generator": rng},
    {"probe": "sphere"},
    {"probe": "sphere", "generator": rng},
    {"shared_probe": True},
    {"shared_probe": True, "num_probes": 2, "generator": rng},
    {"shared_probe": "False"},
    {"loss": "hinge"},
    {"loss": lambda z, y: F.cross_entropy(z, y, reduction="none")},
    {"mode": "forward"},
    {"mode": "finite_difference", "num_probes": 1, "generator": rng},
    {"mode": "x"},
    {"batchnorm": "x"},
    {"batchnorm": "eval"},
    {"reduction": "none"},
    {"reduction": None},
    {"chunk_size": 2},
    {"chunk_size": 0},
    {"check_values": "no"},
    {"wrt": 1},
    {"batch": torch.arange(6)},
    {"batch": 3},
    {"R": 3},
    {"update_statistics": True},
]


def net():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()


def outcome(call):
    """The value, or the error; of options that nobody has the names differ."""
    try:
        return call()
    except (ValueError, TypeError) as error:
        unknown = ("expected options of", "without generator", "multiple values")
        return "unknown" if any(words in str(error) for words in unknown) else str(error)


def made(options):
    """Options, with a new generator."""
    return {name: rng() if value is rng else value for name, value in options.items()}


@pytest.mark.parametrize("options", OPTIONS, ids=lambda o: ", ".join(o) or "none")
@pytest.mark.parametrize("name", PENALTIES)
def test_both_accept_an_option_or_refuse_it_in_the_same_words(name, options):
    function, module, needed = PENALTIES[name]
    y, model = ([Y] if name in LABELLED else []), net()
    expected = outcome(lambda: function(model, X, *y, **made(needed | options)))
    where_made = outcome(lambda: module(**made(needed | options))(model, X, *y))
    if isinstance(expected, torch.Tensor):
        assert torch.equal(where_made, expected)
        assert torch.equal(module(**needed)(model, X, *y, **made(options)), expected)
    else:
        assert where_made == expected


@pytest.mark.parametrize("name", ["R", "update_statistics"])
def test_names_inside_the_package_are_no_options(name):
    """Python spoke of a function that no user has called, or the option moved statistics."""
    for call in (gt.frobreg, gt.FrobReg()):
        with pytest.raises(TypeError, match=f"expected options of a penalty among .* got '{name}'"):
            call(net(), X, **{name: True})


@pytest.mark.parametrize("name", ["every", "fraction"])
def test_an_option_of_modules_alone_says_so(name):
    for call in (gt.frobreg, gt.FrobReg()):
        with pytest.raises(TypeError, match=f"make a module with it, SpectReg\\({name}=...\\)"):
            call(net(), X, **{name: 0.5})


def test_a_generator_that_draws_the_part_draws_probes_too():
    """JacReg without probes takes one for its part; num_probes at the call asked for another."""
    penalty = gt.JacReg(fraction=0.5, generator=rng())
    got = penalty(net(), X, num_probes=1)
    again = gt.JacReg(fraction=0.5, generator=rng(), num_probes=1)(net(), X)
    assert torch.equal(got, again)
    step = gt.objective(net(), X, Y, gt.JacReg(fraction=0.5, generator=rng(), num_probes=1))
    assert torch.equal(step.penalty, again)


@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_a_fraction_of_an_R_by_tensor(reduction):
    """The columns stayed those of the batch, and the part was refused."""
    model = net()
    of_each = gt.contract(model, X, R, reduction="none")
    part = torch.randperm(6, generator=rng())[:3]
    penalty = gt.Contract(R=R, fraction=0.5, generator=rng(), reduction=reduction)
    expected = of_each[part].mean() * (6 if reduction == "sum" else 1)
    torch.testing.assert_close(penalty(model, X), expected)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda p: gt.SpectReg(**p)(net(), X, probes=R.repeat(2, 1, 1)), "expected probes with a"),
        (lambda p: gt.SpectReg(**p)(net(), X, probes=PROBES[:3]), "expected probes with a row"),
        (lambda p: gt.Contract(R=R[:3], **p)(net(), X), "expected R with a row for each of the 6"),
        (lambda p: gt.DoubleBack(**p)(net(), X, Y.repeat(2)), "expected y with a row for each"),
        (lambda p: gt.DoubleBack(**p)(net(), X, Y.tolist()), "expected y to be a tensor"),
    ],
)
def test_what_a_fraction_cuts_has_the_rows_of_the_batch(call, message):
    """More rows than examples were cut silently."""
    with pytest.raises((ValueError, TypeError), match=message):
        call({"fraction": 0.5, "generator": rng()})
