"""The variant, of those that have a name, that fits the numbers obtained."""

import numpy as np

from gradreg_ref.penalties import Case
from gradreg_ref.typing import Array
from gradreg_verify.diagnosis.expected import near
from gradreg_verify.diagnosis.factors import Factor, fit, in_words, scale
from gradreg_verify.diagnosis.forms import VARIANTS, Variant
from gradreg_verify.diagnosis.observe import Observed, Seen
from gradreg_verify.diagnosis.words import about_the_gradient


def named(seen: Seen, *, gradient: bool = False) -> str:
    """A sentence on the variant that fits in value and slope; "" where there is none.

    Parameters
    ----------
    gradient : bool
        False: one that fits in value alone will do.
    """
    value_only = ""
    observed = seen.telling
    obtained = np.array([o.value for o in observed])
    probed = bool(seen.chance) and all(o.probes is not None for o in seen.observed)
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
        sentence = f"It computes {in_words(factor, variant.whole)}{variant.name}"
        if probed and any(o.shared for o in observed):
            sentence += ", one probe for the whole batch"
        sentence += _elsewhere(variant, factor, seen)
        slopes = np.array([scale(factor, o.sizes) * _slope(variant, o) for o in observed])
        wrong = about_the_gradient(observed, slopes)
        if not wrong:
            return f"{sentence}."
        value_only = value_only or f"{sentence}{wrong}."
    return "" if gradient else value_only


def _elsewhere(variant: Variant, factor: Factor, seen: Seen) -> str:
    """Say on how many networks the name holds, if not on all at which it can be computed."""
    computable = [o for o in seen.observed if o.case.z.shape[1] > 1 or o.telling]
    values = [scale(factor, o.sizes) * float(_value(variant, o, o.case).real) for o in computable]
    right = sum(near(o.value, v) for o, v in zip(computable, values, strict=True))
    return "" if right == len(computable) else f" on {right} of {len(computable)} networks"


def _value(variant: Variant, o: Observed, c: Case) -> Array:
    """Return the variant's batch value at an observation, or with other parameters."""
    return np.asarray(variant.of(c, o.probes if variant.random else None).sum())


def _slope(variant: Variant, o: Observed) -> float:
    """The variant's derivative along the direction."""
    return o.along(lambda network: _value(variant, o, Case.at(network, o.e.x, o.case.y)))
