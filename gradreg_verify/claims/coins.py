"""Signs are made from bits or from numbers, and each sign must have probability ½.

The probes of a function are known up to a factor ±1, which hides a bias that all signs share.
"""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from gradreg_ref.typing import Array
from gradreg_verify.claims.comparison import same
from gradreg_verify.claims.law_tests import Test, two_sided
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example
from gradreg_verify.frameworks.harness import Supply
from gradreg_verify.outcomes import NotAsked, NotHere


def bits(target: Target, m: int, number: int) -> Iterator[Test]:
    """The binomial test of so many bits drawn at the read-out, if bits are drawn."""
    one = target.function()
    found: list[Array] = []
    for seed in range(number // (_BATCH * m)):
        drawn = one.harness.draws(one.probes.at_readout(_BATCH, m, Supply(seed)))
        found += [draw.values.ravel() for draw in drawn if draw.kind == "integer"]
    every = np.concatenate([*found, np.zeros(0)])
    if every.size and np.isin(every, (0, 1)).all():
        ones = int(every.sum())
        p = two_sided(ones, every.size, 0.5)
        yield f"rademacher: the coin gives {ones / every.size:.1%} ones", float(p)


def threshold(target: Target, e: Example) -> Iterator[float]:
    """Signs are those of the numbers drawn, also of numbers that are 2⁻⁷ from the threshold."""
    one = target.function()
    d = one.declaration
    if d.probe != "rademacher" or d.side == "input":
        raise NotAsked("asked of functions that draw signs")
    if one.probes.tier != "intercepted" or e.m <= d.num_probes:
        raise NotHere("no numbers can be fed to it")
    call = one.at(e, 0)
    drawn = one.harness.draws(call, values=False)
    kinds = {draw.kind for draw in drawn}
    if kinds == {"integer"}:
        raise NotAsked("it draws bits")
    r = np.random.default_rng(9).choice([-1.0, 1.0], d.probe_shape(len(e.x), e.m))
    fed = one.probes.supply(r, len(e.x)).feed or ()
    middle = 0.5 if kinds == {"uniform"} else 0.0
    near = tuple(
        replace(draw, values=middle + (draw.values - middle) / _NEAR[middle]) for draw in fed
    )
    far, got = (one.harness.value(replace(call, supply=Supply(feed=a))) for a in (fed, near))
    yield same("rademacher, of numbers near the middle: a biased coin", got, far)


_BATCH = 100  # fewer calls than with smaller batches, each of which takes about as long
_NEAR = {0.5: 32, 0.0: 128}  # uniform numbers ½ ± ¼ and normal ones ±1 become the middle ± 2⁻⁷
