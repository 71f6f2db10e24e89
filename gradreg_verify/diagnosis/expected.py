"""What is declared, at an observation: value and slope."""

import numpy as np

from gradreg_ref.complex_step import directional_derivative
from gradreg_ref.networks import Network
from gradreg_ref.penalties import evaluate
from gradreg_ref.typing import Array
from gradreg_verify.claims.comparison import FLOOR, LIMIT, direction_for
from gradreg_verify.diagnosis.observe import Observed
from gradreg_verify.subject.declaration import Declaration
from gradreg_verify.subject.interception import realise


def declared_value(o: Observed, d: Declaration, network: Network) -> Array:
    """What the function is declared to return at these probes, for a network like that of `o`."""
    options = dict(d.loss_option)
    if d.probe is not None and o.probes is not None:
        options["probes"] = realise(d.probe, o.probes)
    if d.side == "input":
        options["side"] = "input"
    reduction = "sum" if d.reduction == "none" else d.reduction
    value = evaluate(d.kind, network, o.e.x, o.case.y, reduction=reduction, **options)
    return d.scale * np.asarray(value)


def declared_slope(o: Observed, d: Declaration) -> float:
    """The slope of what is declared."""
    return float(
        directional_derivative(lambda n: declared_value(o, d, n), o.e.network, direction_for(o.e))
    )


def known(o: Observed, d: Declaration) -> bool:
    """Whether what is declared can be evaluated: its probes are known, or it has none."""
    return d.probe is None or o.probes is not None


def near(got: float, expected: float, size: float = 0.0) -> bool:
    """Equal as far as the claims ask."""
    return abs(got - expected) <= LIMIT * max(abs(expected), size, FLOOR)
