"""What a message says to do is done, and works."""

import warnings
from types import SimpleNamespace
from typing import NamedTuple

import gradreg_torch as gt
import pytest
import torch
import torch.nn.functional as F
from torch import nn

torch.manual_seed(0)
X = torch.randn(3, 4, dtype=torch.float64)
Y = torch.tensor([0, 2, 1])
MODEL = nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3)).double()
CENTRES = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
MASK = torch.tensor([0.0, 0.0, -torch.inf], dtype=torch.float64)
IMAGES, PIXELS = torch.randn(2, 1, 5, 5, dtype=torch.float64), torch.full((2, 5, 5), 2)
SEGMENTATION = nn.Conv2d(1, 3, 3, padding=1).double()
NORMED = nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3)).double()


class Batch(NamedTuple):
    a: torch.Tensor
    b: torch.Tensor


def of_two(a, b):
    return MODEL(a) + MODEL(b)


def manhattan(x):
    return (x[:, None] - CENTRES).abs().sum(-1)


def pixels(z, y):
    return F.cross_entropy(z, y, reduction="none")


def g():
    return torch.Generator().manual_seed(0)


# What is tried, what the message says, and what is done instead.
CASES = {
    "cdist, reverse": (
        lambda: gt.frobreg(lambda x: torch.cdist(x, CENTRES, p=1), X, mode="reverse"),
        r"use the distance by elementary operations: \(x\[:, None\] - y\)\.abs\(\)\.sum\(-1\)",
        lambda: gt.frobreg(manhattan, X, mode="reverse"),
    ),
    "cdist, differences": (
        lambda: gt.frobreg(lambda x: torch.cdist(x, CENTRES, p=1), X, mode="finite_difference"),
        r"use the distance by elementary operations",
        lambda: gt.frobreg(manhattan, X, mode="finite_difference"),
    ),
    "hardsigmoid": (
        lambda: gt.frobreg(lambda x: F.hardsigmoid(MODEL(x)), X, mode="reverse"),
        r"mode='finite_difference'",
        lambda: gt.frobreg(lambda x: F.hardsigmoid(MODEL(x)), X, mode="finite_difference"),
    ),
    "elu, differences": (
        lambda: gt.frobreg(lambda x: F.elu(MODEL(x), 2.0), X, mode="finite_difference"),
        r"pass mode='reverse'",
        lambda: gt.frobreg(lambda x: F.elu(MODEL(x), 2.0), X, mode="reverse"),
    ),
    "a loss for each pixel": (
        lambda: gt.doubleback(SEGMENTATION, IMAGES, PIXELS, loss=pixels),
        r"mean over pixels or tokens with \.flatten\(1\)\.mean\(1\)",
        lambda: gt.doubleback(
            SEGMENTATION, IMAGES, PIXELS, loss=lambda z, y: pixels(z, y).flatten(1).mean(1)
        ),
    ),
    "logits for each pixel": (
        lambda: gt.jacreg(SEGMENTATION, IMAGES),
        r"use doubleback with a loss, loss=lambda z, y: F\.cross_entropy\(z, y, reduction='none'\)",
        lambda: gt.doubleback(
            SEGMENTATION,
            IMAGES,
            PIXELS,
            loss=lambda z, y: F.cross_entropy(z, y, reduction="none").flatten(1).mean(1),
        ),
    ),
    "masked logits": (
        lambda: gt.jacreg(lambda x: MODEL(x) + MASK, X),
        r"a large finite number \(-1e4, say\)",
        lambda: gt.jacreg(lambda x: MODEL(x) + MASK.clamp_min(-1e4), X),
    ),
    "masked logits, unread": (
        lambda: gt.jacreg(lambda x: MODEL(x) + MASK, X),
        r"check_values=False",
        lambda: gt.jacreg(lambda x: MODEL(x) + MASK, X, check_values=False),
    ),
    "complex x": (
        lambda: gt.frobreg(lambda x: MODEL(x.abs()), X + 1j),
        r"torch\.view_as_real\(x\), and a model that begins with torch\.view_as_complex",
        lambda: gt.frobreg(
            lambda x: MODEL(torch.view_as_complex(x).abs()), torch.view_as_real(X + 1j)
        ),
    ),
    "sparse x": (
        lambda: gt.frobreg(MODEL, X.to_sparse()),
        r"pass x\.to_dense\(\)",
        lambda: gt.frobreg(MODEL, X.to_sparse().to_dense()),
    ),
    "nested x": (
        lambda: gt.frobreg(MODEL, torch.nested.nested_tensor(list(X))),
        r"pass x\.to_padded_tensor\(0\.0\)",
        lambda: gt.frobreg(MODEL, torch.nested.nested_tensor(list(X)).to_padded_tensor(0.0)),
    ),
    "a namedtuple": (
        lambda: gt.frobreg(of_two, Batch(X, X), wrt=0),
        r"got Batch, .* pass tuple\(x\) for model\(\*x\)",
        lambda: gt.frobreg(of_two, tuple(Batch(X, X)), wrt=0),
    ),
    "a namedtuple by name": (
        lambda: gt.frobreg(of_two, Batch(X, X), wrt="a"),
        r"x\._asdict\(\) for model\(\*\*x\)",
        lambda: gt.frobreg(of_two, Batch(X, X)._asdict(), wrt="a"),
    ),
    "tokens": (
        lambda: gt.frobreg(lambda a, b: MODEL(X), (Y, Y)),
        r"got none; .* embeddings: pass those as x",
        lambda: gt.frobreg(lambda inputs_embeds: MODEL(inputs_embeds), X),
    ),
    "batch norm and one R": (
        lambda: gt.frobreg(NORMED, X),
        r"batchnorm='eval'",
        lambda: gt.frobreg(NORMED, X, batchnorm="eval"),
    ),
    "batch norm and one R, estimated": (
        lambda: gt.frobreg(NORMED, X),
        r"use spectreg",
        lambda: gt.spectreg(NORMED, X, generator=g()),
    ),
    "a probe too many": (
        lambda: gt.spectreg(MODEL, X, num_probes=3, generator=g()),
        r"use frobreg",
        lambda: gt.frobreg(MODEL, X),
    ),
    "a tuple of outputs": (
        lambda: gt.frobreg(lambda x: (MODEL(x), x), X),
        r"lambda x: model\(x\)\[0\]",
        lambda: gt.frobreg(lambda x: (lambda x: (MODEL(x), x))(x)[0], X),
    ),
    "a training loss without a graph": (
        lambda: gt.objective(
            MODEL, X, Y, gt.FrobReg(), loss=lambda z, y: F.cross_entropy(z.detach(), y)
        ),
        r"look for detach\(\)",
        lambda: gt.objective(MODEL, X, Y, gt.FrobReg(), loss=F.cross_entropy).penalty,
    ),
    "a training loss that is NaN": (
        lambda: gt.objective(MODEL, X, Y, gt.FrobReg(), loss=lambda z, y: (z - z).log().sum()),
        r"a logarithm or a division at 0",
        lambda: gt.objective(MODEL, X, Y, gt.FrobReg(), loss=F.cross_entropy).penalty,
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_following_the_message_works(name):
    attempt, message, remedy = CASES[name]
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "The PyTorch API of nested tensors")
        with pytest.raises((ValueError, TypeError), match=message):
            attempt()
        value = remedy()
    assert torch.isfinite(value)
    value.backward()


def test_an_expanded_input_in_forward_mode():
    x = X[:1].expand(3, 4)
    torch.testing.assert_close(gt.frobreg(MODEL, x, mode="forward"), gt.frobreg(MODEL, x))


@pytest.mark.parametrize(
    "made", [lambda z: SimpleNamespace(logits=z, loss=None), lambda z: {"logits": z, "loss": None}]
)
@pytest.mark.parametrize("mode", ["reverse", "forward", "finite_difference"])
def test_results_that_name_their_logits(made, mode):
    """As `transformers` returns them, in the penalty and in the objective."""
    value = gt.frobreg(lambda x: made(MODEL(x)), X, mode=mode)
    torch.testing.assert_close(value, gt.frobreg(MODEL, X))
    got = gt.objective(lambda x: made(MODEL(x)), X, Y, gt.FrobReg(mode=mode))
    torch.testing.assert_close(got.logits, MODEL(X))


@pytest.mark.parametrize("mode", ["reverse", "forward", "finite_difference"])
def test_data_parallel(mode):
    """`torch.func.functional_call` does not take it; swapped buffers do."""
    r = torch.randn(3, 4 if mode == "forward" else 3, 1, dtype=torch.float64)
    value = gt.spectreg(nn.DataParallel(NORMED), X, probes=r, mode=mode)
    torch.testing.assert_close(value, gt.spectreg(NORMED, X, probes=r, mode=mode))
