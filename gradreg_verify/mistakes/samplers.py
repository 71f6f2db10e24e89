"""Wrong laws of probes, which must fail the claim `probe-law`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np

from gradreg_ref import probes
from gradreg_ref.typing import Array, Rng
from gradreg_verify.frameworks.loopback import LoopbackBackend

Sampler = Callable[[Rng, int, int, int], Array]


@dataclass(frozen=True)
class WrongSampler:
    """A law that is not the one named: `sampler(rng, n, m, q)` in place of `probe`."""

    name: str
    probe: str
    sampler: Sampler
    claim: str = "probe-law"

    def backend(self) -> LoopbackBackend:
        """The reference with this law replaced, in `draw` and in every penalty alike."""
        wrong: Any = LoopbackBackend(sides=("output",))
        replaced = patch.dict(probes.LAWS, {self.probe: self.sampler})
        wrong.value, wrong.draw = replaced(wrong.value), replaced(wrong.draw)
        return wrong

    def __str__(self) -> str:
        return f"{self.probe}: {self.name}"


def over_root_m(law: Sampler) -> Sampler:
    """A law without its factor √m."""
    return lambda rng, n, m, q: law(rng, n, m, q) / np.sqrt(m)


def one_for_all(law: Sampler) -> Sampler:
    """One probe for every example."""
    return lambda rng, n, m, q: law(rng, 1, m, q).repeat(n, axis=0)


def autoregressive(rng: Rng, n: int, m: int, q: int) -> Array:
    """Every probe contains three tenths of the one before."""
    r = rng.standard_normal((n, m, q))
    for b in range(1, n):
        r[b] = 0.3 * r[b - 1] + np.sqrt(1 - 0.09) * r[b]
    return r


def batch_normalised(rng: Rng, n: int, m: int, q: int) -> Array:
    """Normalised over the batch, not over the probe."""
    g = rng.standard_normal((n, m, q))
    return np.sqrt(n) * g / np.sqrt((g * g).sum(axis=0, keepdims=True))


def never_last(rng: Rng, n: int, m: int, q: int) -> Array:
    """c uniform on all classes but the last, as in the authors' scripts."""
    c = rng.integers(0, m - 1, (n, q))
    return np.sqrt(m) * np.eye(m)[c].transpose(0, 2, 1)


def paired_signs(rng: Rng, n: int, m: int, q: int) -> Array:
    """The second coordinate has the sign of the first: E[r rᵀ] is not diagonal."""
    r = rng.standard_normal((n, m, q))
    r[:, -1] = np.abs(r[:, -1]) * np.sign(r[:, -2])
    return r


def repeated_half(rng: Rng, n: int, m: int, q: int) -> Array:
    """The second half of a batch has the probes of the first."""
    half = rng.standard_normal(((n + 1) // 2, m, q))
    return np.concatenate([half, half])[:n]


WRONG_SAMPLERS = (
    WrongSampler("uniform", "gaussian", lambda g, *a: g.uniform(-np.sqrt(3), np.sqrt(3), a)),
    WrongSampler("scale off by 5 %", "gaussian", lambda *a: 1.05 * probes.gaussian(*a)),
    WrongSampler("one probe for every example", "gaussian", one_for_all(probes.gaussian)),
    WrongSampler("correlated examples", "gaussian", autoregressive),
    WrongSampler("mean 0.1", "gaussian", lambda *a: probes.gaussian(*a) + 0.1),
    WrongSampler("two coordinates of one sign", "gaussian", paired_signs),
    WrongSampler("half a batch repeated", "gaussian", repeated_half),
    WrongSampler(
        "one in a thousand is zero",  # which no test of a distribution shows
        "gaussian",
        lambda g, n, m, q: probes.gaussian(g, n, m, q) * (g.random((n, 1, q)) > 1e-3),
    ),
    WrongSampler(
        "one probe, q times",
        "gaussian",
        lambda g, n, m, q: probes.gaussian(g, n, m, 1).repeat(q, 2),
    ),
    WrongSampler("independent examples", "frames", probes.sphere),
    WrongSampler("independent of each other", "frames", probes.sphere, "frames-variance"),
    WrongSampler("columns not orthogonal", "orthogonal", probes.sphere),
    WrongSampler("0 and 1 for −1 and 1", "rademacher", lambda *a: (probes.rademacher(*a) + 1) / 2),
    WrongSampler(
        "biased signs", "rademacher", lambda g, *a: np.where(g.random(a) < 0.6, 1.0, -1.0)
    ),
    WrongSampler("gaussian", "rademacher", probes.gaussian),
    WrongSampler("radius 1", "sphere", over_root_m(probes.sphere)),
    WrongSampler("normalised over the batch", "sphere", batch_normalised),
    WrongSampler("one probe for every example", "sphere", one_for_all(probes.sphere)),
    WrongSampler("radius 1", "orthogonal", over_root_m(probes.orthogonal)),
    WrongSampler("without √m", "onehot", over_root_m(probes.onehot)),
    WrongSampler("the last class never drawn", "onehot", never_last),
)
