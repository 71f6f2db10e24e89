"""The probes drawn are those used, of the law named, and independent.

The only claim that samples: everything else about an estimate is exact (`estimators`). Every test
gives a p-value; the claim fails where one of N is below α/N. A function that draws its own probes
shows them up to their sign, so what is tested of it does not depend on signs.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import cache

import numpy as np
import scipy

from gradreg_ref.penalties import PENALTIES
from gradreg_ref.typing import Law
from gradreg_verify.claims import law_tests, read_out, reference
from gradreg_verify.claims.comparison import FLOOR, direction_for, same
from gradreg_verify.claims.law_tests import Test
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example
from gradreg_verify.outcomes import Broken, NotHere, NotTestable

# The chance that a right sampler fails, for each length of a probe. Seeds are fixed, so that a run
# has the same outcome again.
ALPHA = 1e-6


def replay(target: Target, e: Example) -> Iterator[float]:
    """Value and gradient for a seed are those at the probes of this seed, for every penalty."""
    if target.declared is not None and target.side == "input":
        raise NotTestable("of a probe of the inputs only a part can be read out")
    target.require_representative(e)
    if e.m == 1:
        raise NotHere("one logit")
    for probe in target.laws():
        for penalty, q, shared in _forms(target, e.m, every=probe == target.laws()[0]):
            yield from _at_drawn_probes(target, penalty, e, probe, q, shared)


def _forms(target: Target, m: int, *, every: bool) -> Iterator[tuple[str, int, bool]]:
    """Penalty, number of probes, and whether the batch shares them.

    A law is drawn by one function, whichever penalty asks: every form is replayed with one law,
    and the other laws with one probe and with several.
    """
    d = target.declaration
    if d is not None:
        if d.num_probes < m:
            yield d.kind, d.num_probes, d.shared_probe
        return
    random = [row.name for row in PENALTIES.values() if row.probes != "never"]
    for penalty in random if every else random[:1]:
        yield penalty, 1, False
        yield penalty, m - 1, False
        if every:
            yield penalty, 1, True


def _at_drawn_probes(
    target: Target, penalty: str, e: Example, probe: Law, q: int, shared: bool
) -> Iterator[float]:
    """Compare the target at a seed with the reference at the probes that this seed draws."""
    n, m, _ = e.probes.shape
    if target.declared is not None:
        target.declared.probes.require_same_draws(*e.arguments({}))
    batch = n if target.declared is not None or not shared else 1
    r = target.backend.draw(probe, batch, m, q, seed=3, device=target.device)
    given = {"probes": r, "shared_probe": shared}
    drawn = {"probe": probe, "num_probes": q, "seed": 3, "shared_probe": shared}
    what = f"{penalty} of a seed, {probe}"
    yield same(what, target.value(penalty, e, **drawn), reference.value(penalty, e, **given))
    if probe != target.laws()[0]:  # one law shows whether drawn probes keep the graph
        return
    direction = direction_for(e)
    expected, scale = reference.slope(penalty, e, direction, **given), np.abs(direction).sum()
    # A function may draw other probes in training mode; a backend has no such setting.
    for training in (False,) if target.declared is None else (False, True):
        mode = {"training": True} if training else {}
        slope, _ = target.slope(penalty, e, direction, **drawn, **mode)
        where = " in training mode" if training else ""
        yield same(f"gradient of {what}{where}", slope, expected, scale=FLOOR * scale)


def law(target: Target, e: Example) -> Iterator[float]:
    """Structure exactly, marginal law and independence by test; the smallest p-value × N."""
    tests = list(_p_values(target, e))
    if not tests:
        raise NotTestable("it shows no probes")
    what, p = min(tests, key=lambda test: test[1])
    if p * len(tests) <= ALPHA:
        raise Broken(f"{what} (p = {p:.1e}, the least of {len(tests)} tests)")
    yield 0.0


@dataclass(frozen=True)
class Evidence:
    """The result of all tests of probes in a verification.

    Parameters
    ----------
    tests : int
        N, over all laws and lengths of a probe.
    least : float
        min(1, N · the least p-value): below α for a right sampler with chance α.
    draws : int
        Probes of each law and length.
    """

    tests: int
    least: float
    draws: int

    def __str__(self) -> str:
        return (
            f"{self.tests} tests of {self.draws} draws, N·p >= {self.least:.2g}; "
            f"finds a scale off by {self.visible_scale:.1%}"
        )

    @property
    def visible_scale(self) -> float:
        """The error in scale found 999 times in 1000, from the variance of m = 3 coordinates."""
        deviation = np.sqrt(2 / (3 * self.draws))  # of the mean square of gaussian entries
        level = scipy.stats.norm.isf(ALPHA / (2 * self.tests)) + scipy.stats.norm.isf(1e-3)
        return float(level * deviation / 2)


def evidence(target: Target, examples: Iterable[Example]) -> Evidence | None:
    """Run all tests of a target on the lengths of probes that the examples have."""
    found: list[Test] = []
    for e in {e.m: e for e in examples}.values():  # one of each length
        with suppress(NotTestable):
            found += _p_values(target, e)
    if not found:
        return None
    least = min(p for _, p in found)
    return Evidence(len(found), min(1.0, len(found) * least), target.draws)


def _p_values(target: Target, e: Example) -> tuple[Test, ...]:
    """Run every test of every law that the target draws."""
    d = target.declaration
    if d is not None:
        read_out.require_visible(d, e.m)
    return tuple(test for probe in target.laws() for test in _of_one_law(target, e.m, probe))


@cache
def _of_one_law(target: Target, m: int, probe: Law) -> tuple[Test, ...]:
    """The tests of `target.draws` probes of one law."""
    if target.declared is not None:
        return tuple(read_out.tests(target, m, probe))
    n = target.draws
    r = target.backend.draw(probe, n, m, 2, seed=target.seed, device=target.device)
    law_tests.check(r.shape == (n, m, 2), f"{probe}: expected probes (n, m, q), got {r.shape}")
    law_tests.exact_structure(r, probe, n)
    if probe == "onehot":
        return tuple(law_tests.classes_are_uniform(np.abs(r).argmax(axis=1), m))
    return (*law_tests.marginal_law(r[:, :, 0], probe), *law_tests.products_vanish(r, probe))
