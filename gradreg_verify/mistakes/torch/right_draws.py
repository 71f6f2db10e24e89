"""Right ways to draw the probes of SpectReg: the kit must flag none of them."""

from collections.abc import Callable
from math import sqrt
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import vjp, vmap

from gradreg_verify.mistakes.torch.entries import Function, Of, at_probes, right


def drawn(formula: str, **declared: Any) -> Callable[[Of], Function]:
    """Enter a right way to draw the probes, as a function of the logits."""
    return at_probes(right(formula, "spectreg", **declared))


@drawn("coordinates permuted")
def probe_backwards(z: Tensor) -> Tensor:
    return torch.randn_like(z).flip(1)


@drawn("signs of gaussians", probe="rademacher")
def signs_of_gaussians(z: Tensor) -> Tensor:
    return torch.randn_like(z).sign()


@drawn("signs by coin", probe="rademacher")
def signs_by_coin(z: Tensor) -> Tensor:
    return 2 * torch.empty_like(z).bernoulli_(0.5) - 1


@drawn("the authors' shared probe", shared_probe=True)
def shared(z: Tensor) -> Tensor:
    return torch.randn_like(z[:1])


@drawn("columns of an orthogonal matrix", probe="orthogonal", num_probes=2)
def orthogonal(z: Tensor) -> Tensor:
    n, m = z.shape
    Q, _ = torch.linalg.qr(torch.randn(n, m, 2, dtype=z.dtype, device=z.device))
    return sqrt(m) * Q.permute(2, 0, 1)


@drawn("orthogonal across the batch", probe="frames")
def frames(z: Tensor) -> Tensor:
    n, m = z.shape
    size = min(n, m)
    Q, _ = torch.linalg.qr(torch.randn(-(-n // size), m, size, dtype=z.dtype, device=z.device))
    return sqrt(m) * Q.mT.reshape(-1, m)[:n]


@drawn("two probes of a frame an example", probe="frames", num_probes=2)
def frames_of_two(z: Tensor) -> Tensor:
    n, m = z.shape
    size = max(1, min(n, m // 2))
    r = torch.randn(-(-n // size), m, 2 * size, dtype=z.dtype, device=z.device)
    Q = torch.linalg.qr(r)[0].mT.reshape(-1, 2, m)[:n]
    return sqrt(m) * Q.transpose(0, 1)


@drawn("Random onehot", probe="onehot")
def a_random_class(z: Tensor) -> Tensor:
    c = torch.randint(0, z.shape[1], (len(z),), device=z.device)
    return sqrt(z.shape[1]) * F.one_hot(c, z.shape[1])


@drawn("probes by NumPy")
def probes_by_numpy(z: Tensor) -> Tensor:
    return torch.from_numpy(np.random.randn(*z.shape)).to(z)


NUMBERS, COINS = np.random.default_rng(0), Random(0)


@drawn("a NumPy generator that it keeps")
def a_kept_numpy_generator(z: Tensor) -> Tensor:
    return numbers_like(z)


def numbers_like(z: Tensor) -> Tensor:
    """Normal numbers of the generator above."""
    return torch.from_numpy(NUMBERS.standard_normal(tuple(z.shape))).to(z)


@drawn("coins of Python that it keeps", probe="rademacher")
def kept_coins(z: Tensor) -> Tensor:
    def coin() -> int:
        return COINS.choice((-1, 1))

    return torch.tensor([[coin() for _ in row] for row in z]).to(z)


@drawn("three probes of signs, q first", probe="rademacher", num_probes=3)
def three_signs_q_first(z: Tensor) -> Tensor:
    return torch.randn(3, *z.shape, dtype=z.dtype, device=z.device).sign()


@drawn("twice gaussians of standard deviation ½")
def narrow_gaussians_widened(z: Tensor) -> Tensor:
    return 2 * torch.empty_like(z).normal_(std=0.5)


@right("a probe drawn inside vmap", "spectreg")
def drawn_inside_vmap(model: nn.Module, x: Tensor) -> Tensor:
    def one(example: Tensor) -> Tensor:
        z, pullback, *_ = vjp(lambda t: model(t[None])[0], example)
        value: Tensor = pullback(torch.randn_like(z))[0].square().sum()
        return value

    return vmap(one, randomness="different")(x).mean()
