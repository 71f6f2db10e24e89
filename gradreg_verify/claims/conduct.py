"""A call can be repeated and changes nothing. These checks are of single functions."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import scipy

from gradreg_ref.networks import Linear, Network
from gradreg_ref.penalties import PENALTIES
from gradreg_ref.typing import Array, Law, Side
from gradreg_verify.claims import reference
from gradreg_verify.claims.comparison import LIMIT, same
from gradreg_verify.claims.draws import ALPHA
from gradreg_verify.claims.law_tests import chance_of_the_same
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example
from gradreg_verify.frameworks.harness import Call, Supply
from gradreg_verify.outcomes import Broken, NotAsked, NotHere, NotTestable
from gradreg_verify.subject import readout
from gradreg_verify.subject.declared import DeclaredPenalty

_WEIGHTS = (-(2.0**-10), 2.0**16)  # of a penalty in a loss, and of a loss in mixed precision


def _functions(target: Target, e: Example, *, alone: bool = False) -> Iterator[DeclaredPenalty]:
    """The functions that can be called at an example.

    NotHere, unless the example is `representative`, or is `alone` in what it shows.
    """
    known = target.backend.functions_declared(target.device)
    if not known:
        raise NotTestable("it has no single functions to call")
    if not alone:
        target.require_representative(e)
    yield from (one for one in known if one.declaration.can_have(e.m))


def repeatable(target: Target, e: Example) -> Iterator[float]:
    """One seed gives one number, whatever was called in between."""
    for one in _functions(target, e):
        first, _, again = (one.harness.value(one.at(e, seed)) for seed in (1, 2, 1))
        what = f"{one.declaration.kind}, twice with one seed"
        yield same(what, again, first, exact=True)


def after_a_step(target: Target, e: Example) -> Iterator[float]:
    """A call uses its own inputs, and the parameters as they are after a step of training."""
    moved = e.network.with_parameters(e.network.parameters() / 2)
    for one in _functions(target, e):
        call = one.at(e, 1, training=True)
        before, after = one.harness.after_a_step(call, moved)
        fresh, new = one.harness.value(call), one.harness.value(replace(call, network=moved))
        what = f"{one.declaration.kind} of a model that was asked"
        yield same(f"{what} at other inputs before", before, fresh, exact=True)
        last = f"{what} before its parameters moved, and with other labels"
        yield same(last, after, new, exact=True)


def as_a_part_of_a_loss(target: Target, e: Example) -> Iterator[float]:
    """λ times the value has λ times the gradient, and two values have the sum of gradients.

    λ is small and negative, or as large as a loss scale.
    """
    declared = target.declared is not None
    if declared and (len(e.x) > 1 or e.exact):
        raise NotHere("one curved network shows the same")
    for one in _functions(target, e, alone=declared):
        call = one.at(e, 1)
        alone = one.harness.gradient(call)
        for weight in _WEIGHTS:
            got = one.harness.gradient(replace(call, weight=weight)) / weight
            what = f"{one.declaration.kind}, gradient of {weight:.3g} × the value, / {weight:.3g}"
            yield same(what, got, alone)
        other = one.at(replace(e, x=e.x + 1), 2)
        got = one.harness.gradient_of_both(call, other)
        what = f"{one.declaration.kind}, gradient of the sum of two calls"
        yield same(what, got, alone + one.harness.gradient(other))


def of_one_pass(target: Target, e: Example) -> Iterator[float]:
    """The value is that of one pass of the model: dropout draws another mask in every pass."""
    if len(e.x) > 1:
        raise NotHere("one example shows whether passes are mixed")
    asked = [one for one in _functions(target, e, alone=True) if _has_one_pass(one)]
    if not asked:
        raise NotAsked("its probes are not known, or may come from passes of their own")
    for one in asked:
        d = one.declaration
        for penalty, options, _ in one.variants(e):
            supply = one.probes.supply(options["probes"], 1) if d.probe else Supply()
            call = Call(*e.arguments(options), supply, device=one.device)
            try:
                got, factors = one.harness.of_a_changing_model(call)
            except Broken as error:  # an error is no wrong number
                raise NotTestable(f"it has no value for a model with dropout: {error}") from error
            yield _of_one_of(factors, float(got.sum()) / d.scale, penalty, e, options)


def _has_one_pass(one: DeclaredPenalty) -> bool:
    """Whether its value is that of one pass, at probes that are known."""
    d = one.declaration
    known = d.num_probes == 1 and one.probes.tier != "seeded"
    return known and PENALTIES[d.kind].of != "weights"


def _of_one_of(
    factors: list[float], got: float, penalty: str, e: Example, options: dict[str, Any]
) -> float:
    """Require the value at the logits times one of the factors."""
    off = float("inf")
    for factor in factors:
        times = Linear(factor * np.eye(e.m), np.zeros(e.m))
        scaled = replace(e, network=Network((*e.network.layers, times)))
        value = float(reference.value(penalty, scaled, **options | {"reduction": "sum"}))
        off = min(off, abs(got - value) / max(abs(value), 1e-6))
    if not off <= LIMIT:
        raise Broken(
            f"{penalty} mixes {len(factors)} passes of a model in training mode: dropout draws "
            "another mask in each. Compute it from one pass"
        )
    return off


def nothing_left_behind(target: Target, e: Example) -> Iterator[float]:
    """Model, inputs, their .grad, modes and global random state are as they were.

    The statistics of batch norm may move, and a function may refuse batch norm in training mode.
    """
    for one in _functions(target, e, alone=e.batch_norm):
        d, taken = one.declaration, one.harness.arguments
        random = d.probe is not None and not {"generator", "key"} & set(taken)
        try:
            changed = one.harness.side_effects(one.at(e, 1), random=random)
        except Broken:
            if not e.batch_norm:
                raise
            continue
        if e.batch_norm:
            changed = [part for part in changed if part != "the buffers"]
        if changed:
            raise Broken(f"a call of {d.kind} changes {'; '.join(changed)}")
        yield 0.0


def fresh_probes(target: Target, e: Example) -> Iterator[float]:
    """Two calls in a row draw different probes, and so do two examples of a batch."""
    m = e.m
    for one in _functions(target, e):
        d = one.declaration
        if d.probe is None or not one.harness.draws_probes:
            continue
        calls, n = (_PAIRS, 2) if d.shared_probe else (1, _PAIRS)
        pairs = [_calls_in_a_row(one, n, m, target.seed + t) for t in range(calls)]
        first, second = (np.concatenate([pair[k] for pair in pairs]) for k in (0, 1))
        chance, step = _chance(d.probe, n, m, d.side), n if d.shared_probe else 1
        what = "two calls in a row use the same probes: a seed is set in every call"
        _no_more(what, first[::step], second[::step], chance)
        if not d.shared_probe:
            what = "examples of a batch have the same probe"
            _no_more(what, first[1:], first[:-1], chance)
        yield 0.0


def _chance(probe: Law, n: int, m: int, side: Side) -> float:
    """Bound the probability that what is read out of two independent probes is alike.

    Of a onehot probe of the inputs m of m + i coordinates are read out, and often all are zero.
    """
    if side == "input" and probe == "onehot":
        i = readout.selectors(n)
        return float((i * i + m) / (m + i) ** 2)
    return chance_of_the_same(probe, m)


_PAIRS = 32  # of probes compared: all alike by chance once in 3³² for one of three classes


def _calls_in_a_row(one: DeclaredPenalty, n: int, m: int, seed: int) -> list[Array]:
    """The second moments of the probes of two calls, (n, m, m) each."""
    pair = one.harness.two_gradients(one.probes.at_readout(n, m, Supply(seed)))
    return [readout.second_moments(gradient, n, m) for gradient in pair]


def _no_more(what: str, a: Array, b: Array, chance: float) -> None:
    """Broken where pairs are alike more often than independent ones are, by a binomial test."""
    alike = int((a == b).all(axis=(1, 2)).sum())
    p = float(scipy.stats.binom.sf(alike - 1, len(a), chance))
    if p <= ALPHA:
        raise Broken(f"{what}: {alike} of {len(a)} are alike (p = {p:.1e})")
