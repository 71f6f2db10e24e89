"""Find a small network that shows a failure: the first that fails of a list, simplified."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from math import prod
from time import perf_counter

import numpy as np

from gradreg_ref.networks import Flatten, Linear
from gradreg_ref.penalties import PENALTIES
from gradreg_ref.typing import Array
from gradreg_verify.claims.claim import Claim
from gradreg_verify.claims.target import Target
from gradreg_verify.diagnosis.shown import as_code, code, in_words, own_numbers
from gradreg_verify.diagnosis.words import in_a_line
from gradreg_verify.examples import Example, classes, dense, example, quarters, with_entry
from gradreg_verify.outcomes import Broken, raised
from gradreg_verify.subject.suited import fits, suited, sure, unusual

TRIES = 300  # examples that are tried to simplify one


@dataclass(frozen=True)
class Counterexample:
    """A network and data at which a claim fails, and how.

    Parameters
    ----------
    e : Example
        Network and data.
    message : str
        How the claim fails.
    probes : array, optional
        At which it was compared.
    kind : tuple of str
        What the check compared, and what of the function is not as declared.
    """

    e: Example
    message: str
    probes: Array | None = None
    kind: tuple[str, str] = ("", "")

    @property
    def code(self) -> str:
        """Network, data and probes as Python."""
        given = "" if self.probes is None else f"\nprobes = {as_code(self.probes)}  # r[n, k, q]"
        return code(self.e) + given

    def __str__(self) -> str:
        return f"It shows on {self.e}:\n  {self.message}\n\n{self.code}"


def smallest(target: Target, claim: Claim, end: float = float("inf")) -> Counterexample | None:
    """The first example at which the function is wrong or breaks the claim, simplified.

    Small ones come before the bundled ones, and those of unusual shapes last.

    Parameters
    ----------
    end : float
        When the clock of `perf_counter` is there, the simplest so far is taken.

    Raises
    ------
    Hung
        The function did not return in time.
    """
    d = target.function().declaration
    # A law of probes fails on any network, and the simplest one has J = 0.
    law = claim.id == "probe-law"
    rest = chain(unusual(), sure(d.kind) if PENALTIES[d.kind].softmax else ())
    few, last = (filter(partial(fits, d), examples) for examples in (_small(), rest))
    networks = suited(d) if law else chain(few, suited(d), last)
    found = None
    for e in networks:
        shown = _counterexample(target, claim, e)
        found = found or shown
        if shown is not None and shown.kind[1]:  # another number than is declared
            found = shown
            break
        if perf_counter() > end or (law and found is not None):
            break
    return found if law or found is None else _simplified(target, claim, found, end)


def _counterexample(target: Target, claim: Claim, e: Example) -> Counterexample | None:
    """The example, where the claim fails at it."""
    check = _broken(target, claim, e) if claim.applies(e) else ""
    if not check:
        return None
    one = target.function()
    own = own_numbers(one, e)
    message = in_words(one.declaration, claim, own, check)
    kind = check.partition(":")[0], own.what
    return Counterexample(e, message, own.probes, kind)


def _small() -> Iterator[Example]:
    """Networks of a few parameters, linear ones first."""
    rng = np.random.default_rng(0)
    draw = quarters(rng)
    for n, shape, hidden, m in (
        (1, (2,), 0, 1),
        (1, (2,), 0, 2),
        (1, (2,), 1, 1),
        (1, (1,), 1, 2),
        (2, (1,), 1, 2),
        (1, (1, 1, 2), 0, 2),
    ):
        i = prod(shape)
        linear = (Linear(draw((m, i)), draw((m,))),)
        body = dense(draw, "square", i, hidden, m) if hidden else linear
        layers = body if len(shape) == 1 else (Flatten(), *body)
        yield example(draw, classes(rng), layers, draw((n, *shape)), True)


def _simplified(target: Target, claim: Claim, found: Counterexample, end: float) -> Counterexample:
    """Return it with fewer rows and more zeros, as long as the same comparison fails."""
    ways = _simpler_than(found.e)
    for _ in range(TRIES):
        e = next(ways, None)
        if e is None or perf_counter() > end:
            break
        simpler = _counterexample(target, claim, e)
        if simpler is not None and simpler.kind == found.kind:
            found, ways = simpler, _simpler_than(e)
    return found


def _simpler_than(e: Example) -> Iterator[Example]:
    """The first row alone, each row left out, and each number of weights and inputs set to 0."""
    n = len(e.x)
    if n > 1:
        yield e.rows(slice(0, 1))
        yield from (e.rows(np.delete(np.arange(n), b)) for b in range(n) if n > 2)
    theta = e.network.parameters()
    for k in np.flatnonzero(theta):
        yield replace(e, network=e.network.with_parameters(with_entry(theta, k, 0.0)))
    yield from (replace(e, x=with_entry(e.x, k, 0.0)) for k in np.flatnonzero(e.x))


def _broken(target: Target, claim: Claim, e: Example) -> str:
    """Say how a claim fails at an example; "" where it does not."""
    try:
        claim.check(target, e)
    except Broken as how:
        return str(how)
    except Exception as error:  # whatever a function under test leaves to the check
        return f"raised {in_a_line(raised(error))}"
    return ""
