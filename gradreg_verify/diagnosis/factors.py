"""a · B^i m^j d^k p^l: the factor between what was obtained and a variant, and its words."""

from fractions import Fraction
from itertools import product

import numpy as np

from gradreg_ref.typing import Array

SAME = 1e-8
Sizes = tuple[int, int, int, int]  # B, m, d, and p pixels (1 for vectors)

Factor = tuple[float, int, float, float, int]
# Powers of B, m, d and p, the likeliest first.
_POWERS: list[tuple[int, float, float, int]] = sorted(
    product((-1, 0, -2, -3, 1), (0, -1, 1, 0.5, -0.5, 2, -2), (0, -1, -0.5, 0.5), (0, -1)),
    key=lambda p: (p[0] not in (-1, 0), abs(p[1]) + abs(p[2]) + 2 * abs(p[3]), abs(p[0])),
)
FEWEST = 4  # networks on which neither number is zero; with fewer, the exponents would fit anything


def fit(got: Array, values: Array, sizes: list[Sizes]) -> Factor | None:
    """a, i, j, k, l with got = a · B^i m^j d^k p^l × values everywhere."""
    with np.errstate(all="ignore"):
        zero = np.abs(values) < SAME**2
        if not np.isfinite(values).all() or (np.abs(got[zero]) > SAME).any():
            return None
        if (~zero).sum() < FEWEST:
            return None
        powers = np.array(_POWERS)[:, None, :]
        scales = np.prod(np.array(sizes, float) ** powers, axis=2)
        a = (got / (values * scales))[:, ~zero]
        fitting = np.flatnonzero(np.abs(a / a[:, :1] - 1).max(axis=1) < SAME)
    return (float(a[fitting[0], 0]), *_POWERS[fitting[0]]) if fitting.size else None


def scale(factor: Factor, sizes: Sizes) -> float:
    """a · B^i m^j d^k p^l at an example."""
    a, *powers = factor
    return float(a * np.prod(np.array(sizes, float) ** powers))


def in_words(factor: Factor, whole: bool = False, each: bool = False) -> str:
    """A factor in words: "½ × the batch mean of ".

    Parameters
    ----------
    whole : bool
        It belongs to one number of the whole batch, which has no batch mean.
    each : bool
        It belongs to one number an example.
    """
    a, i, j, k, l = factor
    parts = [] if abs(a - 1) < SAME else [number(a)]
    parts += {0: [], 1: ["m"], 2: ["m²"], 0.5: ["√m"], -0.5: ["1/√m"], -1: ["1/m"], -2: ["1/m²"]}[j]
    parts += [_OF_D[k]] if k else []
    parts += ["1/p (p pixels)"] if l else []
    if whole:
        parts += {0: [], -1: ["1/B"], -2: ["1/B²"], -3: ["1/B³"], 1: ["B"]}[i]
        return "".join(f"{part} × " for part in parts)
    batch = {
        -1: "the batch mean of ",
        0: "the value an example of " if each else "the batch sum of ",
        -2: "1/B² × the batch sum (as of the loss of a batch mean) of ",
        -3: "1/B² × the batch mean (as of the loss of a batch mean) of ",
        1: "B × the batch sum of ",
    }
    return " × ".join([*parts, batch[i]])


_OF_D = {
    -1: "1/d (d input coordinates)",
    -0.5: "1/√d (d input coordinates)",
    0.5: "√d (d input coordinates)",
}


def number(a: float) -> str:
    """½, -1, 3/4, or digits."""
    fraction = Fraction(a).limit_denominator(64)
    if abs(float(fraction) / a - 1) < SAME:
        named = {Fraction(1, 2): "½", Fraction(1, 4): "¼"}
        return named.get(fraction, str(fraction))
    return f"{a:.9g}"
