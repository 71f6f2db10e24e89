"""What a counterexample shows: what the function itself returns, and network and data as code."""

import re
from dataclasses import is_dataclass
from typing import Any, NamedTuple

import numpy as np

from gradreg_ref.typing import Array
from gradreg_verify.claims.claim import Claim
from gradreg_verify.diagnosis.expected import declared_slope, declared_value, known, near
from gradreg_verify.diagnosis.observe import SEED, observe
from gradreg_verify.examples import Example
from gradreg_verify.outcomes import Broken, NotTestable
from gradreg_verify.subject.declaration import Declaration
from gradreg_verify.subject.declared import DeclaredPenalty

_AS_RETURNED = ("repeatable",)  # claims that compare what the function returned, scale included


class _Own(NamedTuple):
    """What is not as declared, "value", "gradient" or "chance"; how; and the probes compared at."""

    what: str = ""
    text: str = ""
    probes: Array | None = None


def in_words(d: Declaration, claim: Claim, own: _Own, check: str) -> str:
    """Say what the function returned, if that is wrong, and then what the check said.

    A check that compares two numbers of the function says nothing where these are random.
    """
    compared = "(within" in check and claim.id not in _AS_RETURNED
    same = check.startswith((f"{d.kind}, value", f"{d.kind}, parameter"))
    if own.text and (same or (own.what == "chance" and compared)):
        return own.text
    divided = d.scale != 1 and compared
    note = f" (both divided by the declared scale {d.scale:g})" if divided else ""
    return "\n  ".join(filter(None, [own.text, check + note]))


def own_numbers(one: DeclaredPenalty, e: Example) -> _Own:
    """Return what the function returns, where that is not what it is declared to return."""
    probes = None
    try:
        if first := next(one.variants(e), None):
            probes = first.options.get("probes")
            return _compared(one, e, probes)
    except (Broken, NotTestable):
        pass
    return _Own(probes=probes)


def _compared(one: DeclaredPenalty, e: Example, probes: Array | None) -> _Own:
    """Value and slope at the probes of an example's first variant, against those declared."""
    d = one.declaration
    # Probes that were read out are right only if the penalty is; probes drawn are always right.
    seeded = one.probes.tier == "seeded"
    o = observe(one, e, None if seeded else probes)
    if seeded and (d.probe != "gaussian" or not known(o, d)):
        return _Own(probes=probes)
    expected = declared_value(o, d)
    returns = f"The function returns {o.value:.10g}"
    declared = f"the {d}{' at the numbers drawn' * seeded} is {expected:.10g}"
    other = observe(one, e, seed=SEED + 1).value if d.probe is None else o.value
    if other != o.value:
        return _Own("chance", f"{returns}, and in another call {other:.10g}; {declared}.", o.probes)
    if not near(o.value, expected):
        return _Own("value", f"{returns}; {declared}.", o.probes)
    slope = declared_slope(o, d)
    if o.slope.raised or near(o.slope.value, slope, o.slope.size):
        return _Own(probes=probes)
    return _Own(
        "gradient",
        f"{returns}, as declared. Along a direction of the parameters its gradient is "
        f"{o.slope.value:.10g}; that of the {d} is {slope:.10g}.",
        o.probes,
    )


def code(e: Example) -> str:
    """The network and the data as Python."""
    layers = ",\n    ".join(map(as_code, e.network.layers))
    names = sorted({"Network", *re.findall(r"([A-Z]\w+)\(", layers)})
    return (
        "import numpy as np\n"
        f"from gradreg_ref.networks import {', '.join(names)}\n\n"
        f"network = Network((\n    {layers},\n))\n"
        f"x = {as_code(e.x)}\n"
        f"y = {as_code(e.y)}"
    )


def as_code(value: Any) -> str:
    """A layer as its constructor's call, an array with every digit."""
    if isinstance(value, np.ndarray):
        return f"np.array({value.tolist()!r})"
    if isinstance(value, tuple):
        return f"({', '.join(map(as_code, value))},)"
    if is_dataclass(value):
        fields = ", ".join(f"{name}={as_code(field)}" for name, field in vars(value).items())
        return f"{type(value).__name__}({fields})"
    return repr(value)
