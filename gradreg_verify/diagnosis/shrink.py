"""The smallest network that shows a failure, as code to paste."""

import random
from dataclasses import dataclass
from importlib.util import find_spec

import numpy as np

from gradreg_ref.networks import Layer, Residual
from gradreg_ref.typing import Array
from gradreg_verify.claims.comparison import Target
from gradreg_verify.claims.ledger import Claim
from gradreg_verify.examples import Example, bundled
from gradreg_verify.outcomes import Broken, NotTestable

TRIES = 150


@dataclass(frozen=True)
class Counterexample:
    """A network and data at which a claim fails, and how."""

    e: Example
    message: str
    probes: Array | None = None

    @property
    def code(self) -> str:
        """Network, data and probes as Python."""
        given = "" if self.probes is None else f"\nprobes = {of_array(self.probes)}  # r[n, k, q]"
        return code(self.e) + given

    def __str__(self) -> str:
        return f"It shows on {self.e}:\n  {self.message}\n\n{self.code}"


def smallest(target: Target, claim: Claim) -> Counterexample | None:
    """Drawn and shrunk by Hypothesis where it is installed; else the first of the bundled ones."""
    found = None
    # A law of probes fails on any network, and the smallest one has J = 0.
    if claim.id != "probe-law" and find_spec("hypothesis") is not None:
        found = shrunk(target, claim)
    candidates = bundled() if found is None else [found]
    for e in filter(claim.applies, candidates):
        message = broken(target, claim, e)
        if message:
            return Counterexample(e, message + in_units(target), probes_at(target, e))
    return None


def in_units(target: Target) -> str:
    """Which numbers are compared, where it is not those that the function returns."""
    d = target.declared.declaration if target.declared else None
    return "" if d is None or d.scale == 1 else f" (both without the declared {d.scale:g})"


def probes_at(target: Target, e: Example) -> Array | None:
    """The probes at which it was compared."""
    try:
        return next((v.options.get("probes") for v in target.variants(e)), None)
    except Broken:
        return None


def broken(target: Target, claim: Claim, e: Example) -> str:
    """How a claim fails at an example; "" where it does not."""
    for check in claim.checks:
        try:
            check(target, e)
        except NotTestable:
            continue
        except Broken as how:
            return str(how)
    return ""


def shrunk(target: Target, claim: Claim) -> Example | None:
    """The simplest dyadic example that breaks the claim, of those tried."""
    import hypothesis
    from hypothesis.errors import NoSuchExample

    from gradreg_verify.strategies import example

    settings = hypothesis.settings(
        max_examples=TRIES,
        deadline=None,
        database=None,
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    try:
        return hypothesis.find(
            example(exact=True),
            lambda e: claim.applies(e) and bool(broken(target, claim, e)),
            settings=settings,
            random=random.Random(0),
        )
    except NoSuchExample:
        return None


def code(e: Example) -> str:
    """The network and the data as Python."""
    layers = ",\n    ".join(of_layer(layer) for layer in e.network.layers)
    return (
        "import numpy as np\n"
        f"from gradreg_ref.networks import {', '.join(sorted(names(e.network.layers)))}\n\n"
        f"network = Network((\n    {layers},\n))\n"
        f"x = {of_array(e.x)}\n"
        f"y = {of_array(e.y)}"
    )


def names(layers: tuple[Layer, ...]) -> set[str]:
    """What the code must import."""
    found = {"Network"}
    for layer in layers:
        found.add(type(layer).__name__)
        if isinstance(layer, Residual):
            found |= names(layer.body)
    return found


def of_layer(layer: Layer) -> str:
    """A layer as its constructor's call."""
    fields = []
    for name, value in vars(layer).items():
        if isinstance(value, tuple):
            body = ", ".join(of_layer(inner) for inner in value)
            fields.append(f"{name}=({body},)")
        else:
            shown = of_array(value) if isinstance(value, np.ndarray) else repr(value)
            fields.append(f"{name}={shown}")
    return f"{type(layer).__name__}({', '.join(fields)})"


def of_array(a: Array) -> str:
    """An array as code, every digit kept."""
    return f"np.array({a.tolist()!r})"
