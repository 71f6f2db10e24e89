"""Feeding chosen probes to code that draws its own, through the framework's random functions.

A probe (or the normal numbers, bits or classes that it is made from) is drawn by one call for all
of r[n, k, q], or by q calls, in some order of the axes. Which one is found by trying: the probes
wanted must be the probes read out.
"""

from collections.abc import Callable, Iterator
from functools import partial
from itertools import permutations

import numpy as np

from gradreg_ref.typing import Array
from gradreg_verify.frameworks.harness import Draw, Supply
from gradreg_verify.outcomes import NotHere

Layout = Callable[[Array], Supply]  # how a function is given the probes r[n, k, q]


def realise(probe: str, r: Array) -> Array:
    """Probes of a law made from r[n, k, q]: its signs, its direction, …; NotHere if none exist."""
    _, m, q = r.shape
    if probe == "rademacher":
        return np.where(r >= 0, 1.0, -1.0)
    if probe == "onehot":
        return np.sqrt(m) * np.eye(m)[np.abs(r).argmax(axis=1)].transpose(0, 2, 1)
    nonzero = np.where((r != 0).any(axis=1, keepdims=True), r, np.eye(m)[None, :, :1])
    if probe == "sphere":
        return np.sqrt(m) * nonzero / np.sqrt((nonzero * nonzero).sum(axis=1, keepdims=True))
    if probe in ("orthogonal", "frames") and q > m:
        raise NotHere(f"there are no {q} orthogonal probes of {m} coordinates")
    if probe == "frames":
        return _frames(r)
    if probe == "orthogonal":
        gram = np.einsum("nkq,nkp->nqp", r, r)
        if np.allclose(gram, m * np.eye(q)):
            return r
        tilted = nonzero + np.eye(m)[None, :, :q] / 8  # columns may be parallel
        return np.sqrt(m) * np.linalg.qr(tilted)[0]
    return r


def _frames(r: Array) -> Array:
    """Orthogonal probes in every group of m // q examples, near r."""
    n, m, q = r.shape
    size = m // q
    groups = [r[start : start + size].transpose(1, 0, 2) for start in range(0, n, size)]
    flat = [realise("orthogonal", group.reshape(1, m, -1)) for group in groups]
    return np.concatenate([a.reshape(m, -1, q).transpose(1, 0, 2) for a in flat])


def _raw_numbers(probe: str, kind: str, r: Array) -> Array | None:
    """Return what a random function of that kind must return for the probes r to come out."""
    if kind == "normal":
        return r  # normalised, or its signs taken, it gives r again
    if probe == "rademacher":
        bits = (r + 1) / 2
        return bits if kind == "integer" else 0.25 + bits / 2
    if probe == "onehot" and kind == "integer":
        return np.abs(r).argmax(axis=1)[:, None, :]
    return None


def layouts(probe: str, draws: list[Draw], shape: tuple[int, ...]) -> Iterator[Layout]:
    """Yield every way in which these calls may make up probes of shape (n, k, q)."""
    if not draws or len({draw.kind for draw in draws}) != 1:
        return
    raw = _raw_numbers(probe, draws[0].kind, realise(probe, np.ones(shape)))
    if raw is None:
        return
    sizes = [draw.values.size for draw in draws]
    for order in permutations(range(3)):
        first = raw.shape[order[0]]
        if sizes in ([raw.size], [raw.size // first] * first):
            yield partial(_fed, probe, draws, order)


def _fed(probe: str, draws: list[Draw], order: tuple[int, ...], r: Array) -> Supply:
    """Return all probes for one call, or for a call for each entry of the first axis."""
    raw = np.asarray(_raw_numbers(probe, draws[0].kind, r)).transpose(order)
    parts = [raw] if len(draws) == 1 else raw
    feed = [
        Draw(draw.kind, part.reshape(draw.values.shape))
        for part, draw in zip(parts, draws, strict=True)
    ]
    return Supply(feed=tuple(feed))


def argument_layouts(shape: tuple[int, ...]) -> Iterator[Layout]:
    """Yield every shape that an argument may have: axes in any order, or without q."""
    for order in permutations(range(3)):
        yield partial(_transposed, order)
    if shape[2] == 1:
        yield lambda r: Supply(probes=r[:, :, 0])


def _transposed(order: tuple[int, ...], r: Array) -> Supply:
    """r with its axes in that order."""
    return Supply(probes=r.transpose(order))
