"""The probes that a function draws by itself: in which batches they are read out, and the tests."""

from collections.abc import Iterator
from functools import cache
from typing import Any

import numpy as np

from gradreg_ref.typing import Array, Law
from gradreg_verify.claims import coins, law_tests, long_tests, read_out_tests
from gradreg_verify.claims.law_tests import Test
from gradreg_verify.claims.target import Target
from gradreg_verify.outcomes import NotTestable
from gradreg_verify.subject import interception
from gradreg_verify.subject.declaration import Declaration
from gradreg_verify.subject.suited import suited

_COORDINATEWISE = ("gaussian", "rademacher")  # laws that a part of a probe has, too
_BATCH = 50  # examples in one call of a function whose probes are read out
_SMALL = {1: 100, 5: 60}  # batch to calls
_DEPENDENT = 5  # a batch in which one probe may follow from the others
_LARGE = 308  # more than chunks of 256
# Numbers of the first seeds of large batches, and of many logits; others have lower numbers.
_SEEDS_OF_LARGE, _SEEDS_OF_LONG = 500, 700


def require_visible(d: Declaration, m: int) -> None:
    """NotTestable where too little of the probes of m logits can be read out."""
    if m <= d.num_probes:
        raise NotTestable("its probes cannot be read out in full")
    if d.side == "input" and d.probe not in _COORDINATEWISE:
        raise NotTestable(
            f"of a probe of the inputs only a part can be read out, and a part of {d.probe} probes "
            "has another law"
        )
    if d.kind != "jacreg":
        return
    if d.probe not in _COORDINATEWISE or (d.probe == "rademacher" and d.num_probes > 1):
        raise NotTestable("its probes can be read out without their mean only")
    if d.probe == "gaussian" and m - 1 < max(3, d.num_probes + 1):
        raise NotTestable("without their mean too little is left of probes of few logits")


def tests(target: Target, m: int, probe: Law) -> Iterator[Test]:
    """The tests of probes that are known up to their sign (and a rotation where q > 1)."""
    d, rng = target.function().declaration, np.random.default_rng(target.seed)
    r = _drawn(target, m, _BATCH, target.draws // _BATCH)
    read_out_tests.no_call_again(r, probe, 1 if d.shared_probe else _BATCH)
    large = _as_in_training(target, m, probe) if m == _shortest(d, 4) else None
    if m == _shortest(d) and not d.restricted:
        length, size = long_tests.LENGTH, long_tests.BATCH
        calls = long_tests.CALLS // d.num_probes or 1
        long = _drawn(target, length, size, calls, _SEEDS_OF_LONG)
        yield from long_tests.tests(long, probe)
    if d.num_probes > 1:
        yield from read_out_tests.several_read_out(r, probe, rng)
        if not d.shared_probe and probe != "frames":
            yield from read_out_tests.several_in_a_batch(r, probe, _BATCH)
            if large is not None:
                yield from read_out_tests.several_in_a_batch(large, probe, _LARGE)
        if large is not None:
            yield from read_out_tests.several_read_out(large, probe, rng)
        return
    # Frames depend on each other within a call.
    independent = probe != "frames" and not d.shared_probe
    law_tests.exact_structure(r, probe, _BATCH)
    yield from read_out_tests.each_row(
        r[:, :, 0], probe, 1 if d.shared_probe else _BATCH, "of a batch"
    )
    # A law may be another one in a batch of one.
    for batch, calls in _SMALL.items() if m == _shortest(d) else ():
        few = _drawn(target, m, batch, calls)
        law_tests.exact_structure(few, probe, 1 if d.shared_probe else batch)
        yield from read_out_tests.each_row(few[:, :, 0], probe, 1, f"in batches of {batch}")
        if independent and batch > 1:
            yield read_out_tests.each_pair(few[:, :, 0], probe, batch)
    if independent and probe in ("gaussian", "sphere") and m > _DEPENDENT:
        few = _drawn(target, m, _DEPENDENT, 3)[:, :, 0]
        read_out_tests.of_full_rank(few, probe, _DEPENDENT)
    if probe == "rademacher":  # as many bits at each length
        yield from coins.bits(target, m, 2 * target.draws * _shortest(d))
    if independent:
        yield read_out_tests.in_a_batch(r[:, :, 0], probe, _BATCH)
        yield read_out_tests.each_pair(r[:, :, 0], probe, _BATCH)
    yield from read_out_tests.one_read_out(r, probe, _BATCH, rng)
    if large is None:
        return
    where = f" ({_words(_mode(target))}, batches of {_LARGE})"
    law_tests.exact_structure(large, probe, _LARGE)
    for what, p in read_out_tests.one_read_out(large, probe, _LARGE, rng):
        yield what + where, p
    if independent:
        alike = read_out_tests.rows_alike(large[:, :, 0], probe, _LARGE)
        yield alike[0] + where, alike[1]


@cache
def _shortest(d: Declaration, least: int = 3) -> int:
    """The length of the probes in other batches: a law of their own shows at any length."""
    one_less = int(d.kind == "jacreg" and d.probe == "gaussian")
    return min(m for e in suited(d) if (m := e.m) - one_less >= max(least, d.num_probes + 1))


def _mode(target: Target) -> dict[str, Any]:
    """The settings of a call that draws a large batch: those of training, if there are any."""
    d = target.function().declaration
    in_jax = target.backend.capabilities().framework.startswith("jax")
    # A single probe is made exact again; of several, and of frames, the structure is tested.
    exact = d.probe != "gaussian" and (d.num_probes > 1 or d.probe == "frames")
    single = {"dtype": "float32"} if "float32" in target.dtypes and not exact else {}
    in_torch = {} if in_jax else {"training": True, "requires_grad": True}
    return single | in_torch | {"images": True}


def _words(mode: dict[str, Any]) -> str:
    """The mode, in words."""
    words = {
        "dtype": "float32",
        "training": "training mode",
        "requires_grad": "an x that requires a gradient",
        "images": "images",
    }
    return ", ".join(words[name] for name in mode)


def _as_in_training(target: Target, m: int, probe: Law) -> Array:
    """Probes of large batches, in the mode in which a penalty is used."""
    calls, mode = max(1, target.draws // _LARGE), _mode(target)
    r = _drawn(target, m, _LARGE, calls, _SEEDS_OF_LARGE, **mode)
    if "dtype" not in mode or target.function().declaration.num_probes > 1:
        return r
    exact = interception.realise(probe, r)
    off = np.abs(np.abs(exact) - np.abs(r)).max()
    law_tests.check(off <= 1e-3, f"{probe}: probes of another law ({_words(mode)})")
    return exact


def _drawn(target: Target, m: int, batch: int, calls: int, start: int = 0, **mode: Any) -> Array:
    """Probes of so many calls, each of a seed of its own."""
    one, first = target.function().probes, 1000 * target.seed + start
    r = np.concatenate([one.draw(batch, m, first + t, **mode) for t in range(calls)])
    d = target.function().declaration
    return _without_mean(r, d.probe) if d.kind == "jacreg" else r


def _without_mean(r: Array, probe: Law | None) -> Array:
    """Numbers of the declared law, made from probes without their mean: JacReg shows no more.

    A gaussian probe without its mean has m − 1 independent gaussian coordinates in an orthonormal
    basis of the vectors of mean 0. A probe of signs can be restored, up to a factor ±1.
    """
    if probe == "gaussian":
        basis = np.linalg.qr(np.eye(r.shape[1]) - 1 / r.shape[1])[0][:, :-1]
        return np.einsum("nkq,kl->nlq", r, basis)
    high, low = r.max(axis=1, keepdims=True), r.min(axis=1, keepdims=True)
    # Of equal signs nothing is left but rounding.
    signs = np.where((r >= (high + low) / 2) | (high - low < 1e-3), 1.0, -1.0)
    off = np.abs(signs - signs.mean(axis=1, keepdims=True) - r).max()
    law_tests.check(off <= 1e-3, "rademacher: its probes are no signs")
    return signs
