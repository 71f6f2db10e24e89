"""The declared penalty cut off at an unknown c: solved for on one network, held on all others."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from gradreg_ref.penalties import PENALTIES, evaluate
from gradreg_ref.typing import Array, Reduction
from gradreg_verify.diagnosis.expected import declared_value, near
from gradreg_verify.diagnosis.observe import Observed
from gradreg_verify.diagnosis.variants import VECTORS
from gradreg_verify.subject.declaration import Declaration

REDUCTIONS: tuple[Reduction, ...] = ("mean", "sum")
ROUND = 4  # digits of a c that confirms itself


@dataclass(frozen=True)
class Clip:
    """A way to cut off: in words, and the value from what is cut off and c, rising in c."""

    words: str
    value: Callable[[Array, float], float]


def total(o: Observed, d: Declaration) -> Array:
    """The value itself."""
    return declared_value(o, d, o.e.network)


def each(o: Observed, d: Declaration) -> Array:
    """The values of the examples, without scale and reduction."""
    probes = {} if d.probe is None else {"probes": o.probes}
    options = {**d.loss_option, **probes}
    return np.asarray(evaluate(d.kind, o.e.network, o.e.x, o.case.y, reduction="none", **options))


def entries(o: Observed, d: Declaration) -> Array:
    """The absolute entries of the vector whose square is the penalty."""
    vector = next(v.vector for v in VECTORS if v.penalty == PENALTIES[d.kind].title)
    return np.abs(vector(o.case, o.probes if o.probes is not None else np.ones((1, 1, 1))))


Part = Callable[[Observed, Declaration], Array]
WAYS: tuple[tuple[Part, Clip], ...] = (
    (total, Clip("clipped at {c}", lambda v, c: float(np.minimum(v, c)))),
    (total, Clip("raised to {c} where it is less", lambda v, c: float(np.maximum(v, c)))),
    (
        each,
        Clip("with every example's value clipped at {c}", lambda v, c: np.minimum(v, c).sum()),
    ),
    (
        each,
        Clip(
            "with every example's value raised to {c} where it is less",
            lambda v, c: np.maximum(v, c).sum(),
        ),
    ),
    (
        entries,
        Clip(
            "with the entries of {v} clamped to [-{c}, {c}]",
            lambda v, c: (np.minimum(v, c) ** 2).sum(),
        ),
    ),
)


def clipped(seen: list[Observed], declared: Declaration) -> str:
    """What was cut off, and where; "" where no c explains all values."""
    row = PENALTIES[declared.kind]
    if row.of == "weights" or declared.side == "input":
        return ""
    vector = next((v.name for v in VECTORS if v.penalty == row.title), "")
    for d in like(declared):
        off = [o for o in seen if not near(o.value, float(declared_value(o, d, o.e.network)))]
        for part, clip in WAYS if vector else [way for way in WAYS if way[0] is not entries]:
            c = level(off, seen, part, clip, d)
            if c is not None:
                return f"Its value is the {d}, {clip.words.format(c=f'{c:.10g}', v=vector)}."
    return ""


def like(d: Declaration) -> Iterator[Declaration]:
    """What is declared, then with a factor and a reduction that are often taken for it."""
    yield d
    for scale in (d.scale, 1.0, 0.5):
        for reduction in REDUCTIONS:
            yield replace(d, scale=scale, reduction=reduction)


def level(
    off: list[Observed], seen: list[Observed], part: Part, clip: Clip, d: Declaration
) -> float | None:
    """The c that explains all values; None where there is none."""
    c = solved(clip, part(off[0], d), off[0].value / factor(part, off[0], d)) if off else None
    if c is None or not (len(off) > 1 or round_number(c)):
        return None
    return c if all(explained(o, part, clip, c, d) for o in seen) else None


def factor(part: Part, o: Observed, d: Declaration) -> float:
    """From a sum over examples to the value: the scale, and 1/B for a mean."""
    if part is total:
        return 1.0
    return d.scale / (len(o.e.x) if d.reduction == "mean" else 1)


def explained(o: Observed, part: Part, clip: Clip, c: float, d: Declaration) -> bool:
    """Whether the value is that cut off at c."""
    return near(o.value, factor(part, o, d) * clip.value(part(o, d), c))


def solved(clip: Clip, v: Array, got: float) -> float | None:
    """The c with clip.value(v, c) = got, by bisection of its logarithm."""
    low, high = 1e-12, 1e12
    if not clip.value(v, low) <= got <= clip.value(v, high):
        return None
    for _ in range(100):
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if clip.value(v, middle) < got else (low, middle)
    return high


def round_number(c: float) -> bool:
    """Whether c has few digits, as a constant in code has."""
    return bool(abs(float(f"{c:.{ROUND - 1}e}") / c - 1) < 1e-12)
