"""Sentences on where something holds, and on what a gradient is."""

from collections.abc import Callable

import numpy as np

from gradreg_ref.typing import Array
from gradreg_verify.diagnosis.expected import near
from gradreg_verify.diagnosis.factors import SAME, number
from gradreg_verify.diagnosis.observe import Observed, Slope

NEAR = 0.01
_MOST = 0.8  # share of the networks with a feature on which the function fails
_FEW = 3  # networks on either side of a level; fewer can be there by chance


def in_a_line(text: str) -> str:
    """Shorten what a function under test said to one line."""
    return f"{' '.join(text.split()):.200}"


def _has(layer: str) -> Callable[[Observed], bool]:
    """Whether a network shows that layer in print."""
    return lambda o: layer in repr(o.e.network.layers)


_FEATURES: tuple[tuple[str, Callable[[Observed], bool]], ...] = (
    ("with ReLU", _has("'relu'")),
    ("with images", lambda o: o.e.x.ndim > 2),
    ("with vectors", lambda o: o.e.x.ndim == 2),
    ("with max pooling", _has("MaxPool2d")),
    ("with batch norm", _has("BatchNorm")),
    ("with a residual sum", _has("Residual")),
    ("with several layers of weights", lambda o: len(o.e.network.weights()) > 1),
    ("with one example in the batch", lambda o: o.sizes[0] == 1),
    ("with several examples in the batch", lambda o: o.sizes[0] > 1),
    ("with one logit", lambda o: o.sizes[1] == 1),
    ("with logits beyond 50", lambda o: bool(np.abs(o.case.z).max() > 50)),
)


def where(wrong: list[bool], seen: list[Observed], expected: list[float]) -> str:
    """Say what only the networks have in common where something fails; or ""."""
    features = [(words, [feature(o) for o in seen]) for words, feature in _FEATURES]
    for words, k in (("logits", 1), ("examples in the batch", 0)):
        fewest = min(o.sizes[k] for o, fails in zip(seen, wrong, strict=True) if fails)
        features.append((f"with {fewest} {words} or more", [o.sizes[k] >= fewest for o in seen]))
    for words, has in features:
        if has == wrong:
            return f", those {words}"
    if said := _by_value(wrong, expected):
        return said
    for words, has in features:  # with a few networks on which it is right by accident
        among = [fails for one, fails in zip(has, wrong, strict=True) if one]
        if sum(among) == sum(wrong) >= _MOST * len(among) and len(among) < len(wrong):
            return f", all of them {words}"
    return ""


def _by_value(wrong: list[bool], expected: list[float]) -> str:
    """Say beyond which value expected it fails; or ""."""
    failing = [v for v, fails in zip(expected, wrong, strict=True) if fails]
    holding = [v for v, fails in zip(expected, wrong, strict=True) if not fails]
    if min(len(failing), len(holding)) < _FEW:
        return ""
    if min(failing) > max(holding):
        return f", those where {min(failing):.4g} or more is expected"
    if max(failing) < min(holding):
        return f", those where {max(failing):.4g} or less is expected"
    return ""


def how_far(seen: list[Observed], expected: list[float]) -> str:
    """By how much values are off, where that is less than 1 %; or ""."""
    if not all(expected):
        return ""
    off = max(abs(o.value / e - 1) for o, e in zip(seen, expected, strict=True))
    return f", off by {100 * off:.1g}% at most" if off < NEAR else ""


def about_the_gradient(seen: list[Observed], expected: Array) -> str:
    """Describe the gradient, after "It computes …", if it is not as expected."""
    if said := _about_training(seen):
        return _about_slopes([o.slope for o in seen], expected, " in evaluation mode") + said
    both = [(o.slope, o.training, e) for o, e in zip(seen, expected, strict=True) if o.training]
    here = [o.slope for o in seen], expected
    at_both = np.array([e for _, _, e in both])
    there = [training for _, training, _ in both], at_both
    said = _about_slopes(*here, "")
    alike = both and _about_slopes([slope for slope, *_ in both], at_both, "")
    if not both or "missing" in said or alike == _about_slopes(*there, ""):
        return said
    return _about_slopes(*here, " in evaluation mode") + _about_slopes(*there, " in training mode")


def _about_training(seen: list[Observed]) -> str:
    """Say what the value is in training mode; "" where it is that in evaluation mode."""
    both = [(o.value, o.in_training) for o in seen if o.in_training is not None]
    if all(near(there, here) for here, there in both):
        return ""
    ratios = np.array([there / here for here, there in both if here])
    if len(ratios) and np.ptp(ratios) < SAME and abs(ratios[0]) > SAME:
        return f"; but in training mode it is {number(float(ratios[0]))} × that number"
    return "; but in training mode it is another number"


def _about_slopes(slopes: list[Slope], expected: Array, mode: str) -> str:
    """Say what the slopes are in one mode; "" where they are as expected."""
    raised = [s for s in slopes if s.raised]
    if raised and all(s.raised.startswith("the value has no graph") for s in slopes):
        return f", and carries no graph{mode}: a constant to the optimiser"
    if raised:
        share = f"on {len(raised)} of {len(slopes)} networks"
        there = [not s.raised for s in slopes]
        rest = _about_slopes([s for s in slopes if not s.raised], expected[there], mode)
        return (
            f"; but its gradient{mode} is missing {share}: {in_a_line(raised[0].raised)}"
            + rest.replace(f"; but its gradient{mode}", "; on the others it")
        )
    pairs = list(zip(slopes, expected, strict=True))
    if all(near(s.value, float(e), s.size) for s, e in pairs):
        return ""
    got = np.array([s.value for s in slopes])
    if nan := int(np.isnan(got).sum()):
        return f"; but its gradient{mode} is NaN on {nan} of {len(slopes)} networks"
    if not got.any():
        return f"; but its gradient{mode} is zero"
    ratios = got[expected != 0] / expected[expected != 0]
    if len(ratios) and np.ptp(ratios) < SAME and abs(ratios[0]) > SAME:
        return f"; but its gradient{mode} is {number(float(ratios[0]))} × that of its value"
    return f"; but its gradient{mode} is not that of its value"
