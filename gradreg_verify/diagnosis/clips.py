"""The declared penalty cut off at an unknown c, or with c added.

c is solved for on one network, and held on all others.
"""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np
import scipy

from gradreg_ref.penalties import PENALTIES, evaluate
from gradreg_ref.typing import Array
from gradreg_verify.diagnosis.expected import declared_value, near, options
from gradreg_verify.diagnosis.observe import Observed
from gradreg_verify.diagnosis.variants import VECTORS, Vector
from gradreg_verify.subject.declaration import Declaration

_ROUND = 4  # a c with at most so many digits needs no second network to confirm it


def _each(o: Observed, d: Declaration) -> Array:
    """The values of the examples, without scale and reduction."""
    return np.asarray(
        evaluate(d.kind, o.e.network, o.e.x, o.case.y, reduction="none", **options(o, d))
    )


def _entries(o: Observed, d: Declaration) -> Array:
    """The absolute entries of the vector whose square is the penalty."""
    return np.abs(_vector_of(d)[0].at(o.case, o.probes))


def _vector_of(d: Declaration) -> list[Vector]:
    """The vector whose square is the penalty, if there is one."""
    title = PENALTIES[d.kind].title
    if d.loss_option.get("loss") == "mean_squared_error":
        title += " of the mean squared error"
    return [v for v in VECTORS if v.penalty == title][:1]


class _Cut(NamedTuple):
    """What is changed, and by `np.minimum`, `np.maximum` or `np.add`; it is summed to a power."""

    words: str
    part: Callable[[Observed, Declaration], Any]
    by: Callable[[Array, float], Array]
    power: int = 1

    def value(self, part: Any, c: float) -> float:
        """The sum at c, which rises with c."""
        return float((self.by(part, c) ** self.power).sum())

    def factor(self, o: Observed, d: Declaration) -> float:
        """Return the factor from that sum to the value: the scale, and 1/B for a mean."""
        if self.part is declared_value:
            return 1.0
        return d.scale / (len(o.e.x) if d.reduction == "mean" else 1)


_CUTS = (
    _Cut("clipped at {c}", declared_value, np.minimum),
    _Cut("raised to {c} where it is less", declared_value, np.maximum),
    _Cut("with every example's value clipped at {c}", _each, np.minimum),
    _Cut("with every example's value raised to {c} where it is less", _each, np.maximum),
    _Cut("plus {c}", declared_value, np.add),
    _Cut("with {c} added to every example's value", _each, np.add),
    _Cut("with the entries of {v} clamped to [-{c}, {c}]", _entries, np.minimum, power=2),
)


def clipped(seen: list[Observed], declared: Declaration) -> str:
    """Say what was cut off, and where; "" where no c explains all values."""
    if PENALTIES[declared.kind].of == "weights" or declared.side == "input":
        return ""
    vector = "".join(v.name for v in _vector_of(declared))
    for d in _like(declared):
        off = [o for o in seen if not near(o.value, declared_value(o, d))]
        off.sort(key=lambda o: abs(o.value))  # a number that is added shows most in a small value
        for cut in _CUTS if vector else _CUTS[:-1]:
            if off and (c := _level(off, seen, cut, d)):
                return f"Its value is the {d}, {cut.words.format(c=f'{c:.10g}', v=vector)}."
    return ""


def _like(d: Declaration) -> Iterator[Declaration]:
    """The declared penalty, then the same with factors and reductions that are often confused."""
    yield d
    for scale in (d.scale, 1.0, 0.5):
        yield replace(d, scale=scale, reduction="mean")
        yield replace(d, scale=scale, reduction="sum")


def _level(off: list[Observed], seen: list[Observed], cut: _Cut, d: Declaration) -> float | None:
    """The c that explains all values; None where there is none."""
    part, got = cut.part(off[0], d), off[0].value / cut.factor(off[0], d)

    def excess(exponent: float) -> float:
        return cut.value(part, 10.0**exponent) - got

    if not excess(-12) <= 0 <= excess(12):
        return None
    c = float(10.0 ** scipy.optimize.brentq(excess, -12, 12, xtol=1e-15, maxiter=1000))
    if len(off) == 1 and not _round_number(c):
        return None
    explained = (near(o.value, cut.factor(o, d) * cut.value(cut.part(o, d), c)) for o in seen)
    return c if all(explained) else None


def _round_number(c: float) -> bool:
    """Whether c has few digits, as a constant in code has."""
    return bool(abs(float(f"{c:.{_ROUND - 1}e}") / c - 1) < 1e-12)
