"""What a function computes, in sentences.

The numbers obtained, value and slope along a direction of parameters, are compared with what is
declared, then against a · B^i m^j d^k p^l × every variant of `variants` and `forms`: one that fits
all telling networks to 1e-8, in value and in slope, with one factor a, is what it computes.
"""

from collections.abc import Callable
from itertools import compress

import numpy as np

from gradreg_verify.diagnosis.clips import clipped
from gradreg_verify.diagnosis.expected import declared_slope, declared_value, known, near
from gradreg_verify.diagnosis.factors import SAME
from gradreg_verify.diagnosis.named import named, named_apart, nearly, of_degree, with_a_loss
from gradreg_verify.diagnosis.observe import Seen
from gradreg_verify.diagnosis.words import about_the_gradient, how_far, in_a_line, where
from gradreg_verify.examples import Example
from gradreg_verify.subject.declaration import AVERAGE, Declaration

UNKNOWN = "No formula that the kit knows fits its values."
_ONE_OUTPUT = " On networks with one output it is the {d}: if it is for these, declare --outputs 1."
AS_DECLARED = "Value and gradient are those declared"


def computed(seen: Seen, d: Declaration) -> str:
    """Say what was computed; "" where nothing fits."""
    said = [_about_chance(seen, d), _about_refused(seen, d)]
    if seen.chance != "unseeded" and seen.observed:
        said.append(_about_values(seen, d))
    return " ".join(filter(None, said))


def _about_chance(seen: Seen, d: Declaration) -> str:
    """Random numbers where none are declared, and none where some are."""
    if seen.chance == "unseeded":
        return (
            "Two calls with the same seed return different values: it draws random numbers that "
            "no seed controls, or keeps a state."
        )
    if seen.chance and d.probe is None:
        return f"It draws random numbers; {d.kind} has none."
    if not seen.chance and d.probe is not None and len(seen.telling) > 1:  # seeds are changed there
        return f"Its value does not change with the seed; {d.kind} has {d.probe} probes."
    return ""


def _about_refused(seen: Seen, d: Declaration) -> str:
    """Say where the function gives no value, and what it may be declared to be for."""
    n = len(seen.refused)
    if not n:
        return ""
    e, why = seen.refused[0]
    said = f"It gives no value on {n} of {n + len(seen.observed)} networks, as on {e}: "
    said += f"{in_a_line(why).rstrip('.: ')}."
    for words, option, feature in _FOR:
        none = not any(feature(e) for e, _ in seen.refused)
        if seen.observed and none and all(feature(o.e) for o in seen.observed):
            declare = f"declare {option}" if d.probe is None else AVERAGE
            return f"{said} It gives one {words}: if it is for these, {declare}."
    if not seen.observed:
        options = " or ".join(option for _, option, _ in _FOR)
        other = "x,logits" if "model" in seen.arguments else "model,x"
        said += (
            f" It was called with {', '.join(seen.arguments)}: if its parameters are others, name "
            f"them, as in --arguments {other}. If it is for some networks only, "
            + (f"declare {options}." if d.probe is None else f"{AVERAGE}.")
        )
    return said


_FOR: tuple[tuple[str, str, Callable[[Example], bool]], ...] = (
    ("on all networks with images", "--input 3x8x8", lambda e: e.x.ndim > 2),
    ("on all networks with one output", "--outputs 1", lambda e: e.m == 1),
    ("on all networks with as many outputs as inputs", "--square", lambda e: e.m == e.x[0].size),
)


def _about_values(seen: Seen, d: Declaration) -> str:
    """Say what values and slopes are."""
    observed = seen.observed
    if all(abs(o.value) < SAME for o in observed):
        return "It is zero everywhere."
    if (seen.chance and d.probe is None) or not all(known(o, d) for o in observed):
        if d.probe is not None:
            return _about_draws(seen, d)
        return named(seen) or named_apart(seen) or with_a_loss(seen) or UNKNOWN
    expected = [declared_value(o, d) for o in observed]
    wrong = [not near(o.value, value) for o, value in zip(observed, expected, strict=True)]
    off = list(compress(observed, wrong))
    if not off:
        return _as_declared(seen, d)
    said = named(seen) if any(o.telling for o in off) else ""
    said = said or clipped(observed, d) or nearly(seen.telling, d) or with_a_loss(seen)
    right = [o for o, fails in zip(observed, wrong, strict=True) if not fails]
    if not said and any(o.own for o in right):  # else by accident, at the network that shows it
        on = f"{len(right)} of {len(observed)} networks"
        said = f"Its value is the declared one on {on}, and another one on the rest"
        said += where(wrong, observed, expected) or how_far(off, list(compress(expected, wrong)))
        said += "."
    said = said or named_apart(seen) or of_degree(observed, d) or UNKNOWN
    one_output = all(o.sizes[1] > 1 for o in off) and any(o.sizes[1] == 1 for o in observed)
    return said + (_ONE_OUTPUT.format(d=d) if one_output and "Jᵀ1 " in said else "")


def _about_draws(seen: Seen, d: Declaration) -> str:
    """Say why nothing was compared with what is declared, and what it computes."""
    drawn = {0 if o.probes is None else o.probes.shape[2] for o in seen.observed}
    if 0 in drawn:
        return named(seen) or (
            "The kit cannot tell its probes from what it draws, so its values were not compared "
            "with a formula."
        )
    counts = " or ".join(map(str, sorted(drawn)))
    said = f"It draws {counts} probe(s) for each example, declared: {d.num_probes}."
    return f"{said} {named(seen)}".strip()


def _as_declared(seen: Seen, d: Declaration) -> str:
    """Say what the gradient is, where all values are as declared."""
    tried = f"on all {len(seen.observed)} networks tried"
    slopes = np.array([declared_slope(o, d) for o in seen.observed])
    wrong = about_the_gradient(seen.observed, slopes)
    if wrong:
        telling = [o.telling for o in seen.observed]
        there = about_the_gradient(seen.telling, slopes[telling])
        said = named(seen, gradient=True) if there else ""
        return said or f"Its value is the declared one {tried}{wrong}."
    drawn, but = ("", "") if d.probe is None else (" at the numbers drawn,", _reuse(seen, d))
    return f"{AS_DECLARED}{drawn} {tried}, to 9 digits{but}."


def _reuse(seen: Seen, d: Declaration) -> str:
    """Say which probes are one probe that should be several."""
    if not d.shared_probe and any(o.shared for o in seen.observed):
        return ", but with one probe for the whole batch"
    if any(o.repeated for o in seen.observed):
        return f", but with one probe {d.num_probes} times"
    return ""
