"""The variant that fits the numbers obtained; else that they are near, or their degree."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from gradreg_ref.losses import log_softmax, mean_squared_error, target_probabilities
from gradreg_ref.networks import Network
from gradreg_ref.penalties import PENALTIES, Case
from gradreg_ref.typing import Array
from gradreg_verify.claims.comparison import LIMIT
from gradreg_verify.diagnosis.expected import declared_value, near
from gradreg_verify.diagnosis.factors import FEWEST, SAME, Factor, fit, in_words, scale
from gradreg_verify.diagnosis.forms import VARIANTS, Variant
from gradreg_verify.diagnosis.observe import Observed, Seen
from gradreg_verify.diagnosis.words import NEAR, about_the_gradient
from gradreg_verify.subject.declaration import Declaration

_ROUNDING = 1e-5  # float32 rounds to 6e-8, some of it many times


class _Loss(NamedTuple):
    """A loss of the whole batch, which may be added to a variant; `words` end with "plus"."""

    words: str
    of: Callable[[Case], Any]


_NONE = _Loss("", lambda _: 0.0)
_OF_LABELS = (
    _Loss("the mean cross-entropy plus ", lambda c: _cross_entropy(c).mean()),
    _Loss("the summed cross-entropy plus ", lambda c: _cross_entropy(c).sum()),
)
_OF_TARGETS = (
    _Loss("the mean squared error plus ", lambda c: mean_squared_error(c.z, c.y).mean()),
)


def _cross_entropy(c: Case) -> Array:
    """−Σ_k y_k log p_k of every example, of one logit, too."""
    return -(target_probabilities(c.y, *c.z.shape) * log_softmax(c.z)).sum(axis=1)


def named(seen: Seen, *, gradient: bool = False, loss: _Loss = _NONE) -> str:
    """A sentence on the variant that fits in value and slope; "" where there is none.

    Parameters
    ----------
    gradient : bool
        False: one that fits in value alone will do.
    loss : _Loss
        What is added to the variant.
    """
    value_only = ""
    observed = seen.telling
    obtained = np.array([o.value - loss.of(o.case) for o in observed])
    known = (o.probes is not None and o.one.declaration.side == "output" for o in seen.observed)
    probed = all(known) and bool(seen.chance)
    for variant in VARIANTS:
        if variant.random and not probed:
            continue
        try:
            values = np.array([float(_value(variant, o, o.case).real) for o in observed])
        except (ValueError, IndexError):  # labels that are no targets, or the other way round
            continue
        factor = fit(obtained, values, [o.sizes for o in observed])
        if factor is None:
            continue
        each = all(o.each for o in seen.observed)
        sentence = f"It computes {loss.words}{in_words(factor, variant.whole, each)}{variant.name}"
        if probed and any(o.shared for o in observed):
            sentence += ", one probe for the whole batch"
        sentence += _elsewhere(variant, factor, seen, loss)
        slopes = np.array([o.along(partial(_along, variant, factor, loss, o)) for o in observed])
        wrong = about_the_gradient(observed, slopes)
        if not wrong:
            return f"{sentence}."
        value_only = value_only or f"{sentence}{wrong}."
    return "" if gradient else value_only


def named_apart(seen: Seen) -> str:
    """Sentences on vectors and on images, where one variant fits the ones and not the others."""
    kinds = {
        "On vectors": [o for o in seen.observed if o.e.x.ndim == 2],
        "On images": [o for o in seen.observed if o.e.x.ndim > 2],
    }
    if not all(kinds.values()):
        return ""
    said = {words: named(replace(seen, observed=part)) for words, part in kinds.items()}
    if not any(said.values()):
        return ""
    other = "it computes another number, which the kit does not know."
    return " ".join(
        f"{words} {text.replace('It', 'it', 1) or other}" for words, text in said.items()
    )


def with_a_loss(seen: Seen) -> str:
    """A sentence on a loss with a penalty added to it; "" where there is none."""
    if "y" not in seen.arguments:
        return ""
    labels = all(o.case.y.ndim == 1 for o in seen.observed)
    every = (named(seen, loss=loss) for loss in (_OF_LABELS if labels else _OF_TARGETS))
    said = next(filter(None, every), "")
    return said and f"{said} Return the penalty without the loss, to have it tested."


def _elsewhere(variant: Variant, factor: Factor, seen: Seen, loss: _Loss) -> str:
    """Say on how many networks the name holds, if not on all at which it can be computed."""
    computable = [o for o in seen.observed if o.case.z.shape[1] > 1 or o.telling]
    values = [float(_whole(variant, factor, loss, o, o.case).real) for o in computable]
    right = sum(near(o.value, v) for o, v in zip(computable, values, strict=True))
    return "" if right == len(computable) else f" on {right} of {len(computable)} networks"


def _value(variant: Variant, o: Observed, c: Case) -> Array:
    """Return the variant's batch value at an observation, or with other parameters."""
    return np.asarray(variant.of(c, o.probes if variant.random else o.e.x.shape[1:]).sum())


def _whole(variant: Variant, factor: Factor, loss: _Loss, o: Observed, c: Case) -> Array:
    """The loss plus the factor times the variant."""
    return np.asarray(loss.of(c) + scale(factor, o.sizes) * _value(variant, o, c))


def _along(variant: Variant, factor: Factor, loss: _Loss, o: Observed, network: Network) -> Array:
    """`_whole` at another network."""
    return _whole(variant, factor, loss, o, Case.at(network, o.e.x, o.case.y))


def nearly(observed: list[Observed], d: Declaration) -> str:
    """Within 1 %, and exact on no network, as finite differences are."""
    expected = np.array([declared_value(o, d) for o in observed])
    if len(observed) < FEWEST or not expected.all():
        return ""
    ratios = np.array([o.value for o in observed]) / expected
    for a, text in ((1.0, ""), (0.5, "½ × "), (2.0, "2 × ")):
        errors = np.abs(ratios / a - 1)
        off = float(errors.max())
        if errors.min() > LIMIT and off <= NEAR:
            source = "finite differences" + " or rounded probes" * (d.probe is not None)
            source += " or a lower precision" * (off < _ROUNDING)
            return (
                f"Within 1 % its value is {text}the declared one (it is off by {100 * off:.2g}% at "
                f"most, on {len(observed)} networks), and no variant is exact: {source} "
                "look like this."
            )
    return ""


def of_degree(observed: list[Observed], d: Declaration) -> str:
    """The degree k: logits times c multiply the value by c^k, whatever of J it is made of."""
    if PENALTIES[d.kind].of != "jacobian" or not PENALTIES[d.kind].constant_R:
        return ""
    degrees = []
    for o in observed:
        base = next(b for b in observed if b.e.x is o.e.x)
        if o.factor != 1 and base.factor == 1 and base.value * o.value > 0:
            degrees.append(float(np.log(o.value / base.value) / np.log(o.factor)))
    k = round(2 * float(np.mean(degrees))) / 2 if len(degrees) >= FEWEST else 0.0
    if not degrees or np.abs(np.array(degrees) - k).max() > SAME:
        return ""
    if k == 2:
        return (
            f"With the last layer doubled its value is 4 times as large, as that of {d.kind}; the "
            "kit knows no formula that fits."
        )
    return (
        f"With the last layer doubled its value is 2^{k:g} times as large, and that of {d.kind} "
        "4 times."
    )
