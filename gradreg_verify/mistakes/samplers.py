"""Wrong laws of probes: what the claim `probe-law` must see."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradreg_ref import probes
from gradreg_ref.penalties import PENALTIES, Case
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
        """The reference with this one law wrong."""
        return Sampled(self)

    def __str__(self) -> str:
        return f"{self.probe}: {self.name}"


class Sampled(LoopbackBackend):
    """The reference with a law replaced, in `draw` and in the penalty alike."""

    def __init__(self, wrong: WrongSampler) -> None:
        super().__init__({"spectreg": self.spectreg}, sides=("output",))
        self.wrong = wrong

    def spectreg(
        self, c: Case, *, rng: Any = None, probe: Any = "gaussian", num_probes: Any = 1, **o: Any
    ) -> Array:
        """The formula at probes of the wrong law."""
        if rng is None or probe != self.wrong.probe or num_probes not in range(1, c.z.shape[1]):
            return PENALTIES["spectreg"].formula(
                c, rng=rng, probe=probe, num_probes=num_probes, **o
            )
        n = 1 if o.get("shared_probe") else len(c.z)
        r = self.wrong.sampler(rng, n, c.z.shape[1], num_probes)
        return PENALTIES["spectreg"].formula(c, probes=r, **o)

    def draw(self, probe: Any, n: int, m: int, num_probes: int, *, seed: int, **_: Any) -> Array:
        """Probes of the wrong law."""
        law = self.wrong.sampler if probe == self.wrong.probe else probes.LAWS[probe]
        return law(np.random.default_rng(seed), n, m, num_probes)


def uniform(rng: Rng, n: int, m: int, q: int) -> Array:
    """Uniform on [−√3, √3]: mean 0 and variance 1, but not gaussian."""
    return rng.uniform(-np.sqrt(3), np.sqrt(3), (n, m, q))


def shared(rng: Rng, n: int, m: int, q: int) -> Array:
    """One probe for every example."""
    return np.broadcast_to(rng.standard_normal((1, m, q)), (n, m, q))


def autoregressive(rng: Rng, n: int, m: int, q: int) -> Array:
    """Every probe remembers three tenths of the one before."""
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


def sometimes_zero(rng: Rng, n: int, m: int, q: int) -> Array:
    """One probe in a thousand is zero, which no test of a distribution shows."""
    return rng.standard_normal((n, m, q)) * (rng.random((n, 1, q)) > 1e-3)


def repeated_half(rng: Rng, n: int, m: int, q: int) -> Array:
    """The second half of a batch has the probes of the first."""
    half = rng.standard_normal(((n + 1) // 2, m, q))
    return np.concatenate([half, half])[:n]


WRONG_SAMPLERS = (
    WrongSampler("uniform", "gaussian", uniform),
    WrongSampler("scale off by 5 %", "gaussian", lambda *a: 1.05 * probes.gaussian(*a)),
    WrongSampler("one probe for every example", "gaussian", shared),
    WrongSampler("correlated examples", "gaussian", autoregressive),
    WrongSampler("mean 0.1", "gaussian", lambda *a: probes.gaussian(*a) + 0.1),
    WrongSampler("two coordinates of one sign", "gaussian", paired_signs),
    WrongSampler("half a batch repeated", "gaussian", repeated_half),
    WrongSampler("one in a thousand is zero", "gaussian", sometimes_zero),
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
    WrongSampler("radius 1", "sphere", lambda g, n, m, q: probes.sphere(g, n, m, q) / np.sqrt(m)),
    WrongSampler("normalised over the batch", "sphere", batch_normalised),
    WrongSampler(
        "one probe for every example",
        "sphere",
        lambda g, n, m, q: probes.sphere(g, 1, m, q).repeat(n, 0),
    ),
    WrongSampler(
        "radius 1", "orthogonal", lambda g, n, m, q: probes.orthogonal(g, n, m, q) / np.sqrt(m)
    ),
    WrongSampler("without √m", "onehot", lambda g, n, m, q: probes.onehot(g, n, m, q) / np.sqrt(m)),
    WrongSampler("the last class never drawn", "onehot", never_last),
)
