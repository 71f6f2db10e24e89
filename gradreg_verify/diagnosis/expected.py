"""The declared value and slope at an observation."""

from typing import Any

import numpy as np

from gradreg_ref.networks import Network
from gradreg_ref.penalties import evaluate
from gradreg_ref.typing import Array
from gradreg_verify.claims.comparison import FLOOR, LIMIT
from gradreg_verify.diagnosis.observe import Observed
from gradreg_verify.subject.declaration import Declaration
from gradreg_verify.subject.interception import realise


def options(o: Observed, d: Declaration) -> dict[str, Any]:
    """Return the options of the reference at an observation."""
    given: dict[str, Any] = {"side": "input"} if d.side == "input" else {}
    if d.probe is not None and o.probes is not None:
        r = o.probes
        if d.probe == "rademacher" and ((r > 0) & (r < 1)).all():
            r = r - 0.5  # uniform numbers, whose signs are around ½
        given["probes"] = realise(d.probe, r)
    return d.loss_option | given


def declared_value(o: Observed, d: Declaration) -> float:
    """Return what the function is declared to return at these probes."""
    return float(_at(o, d, o.e.network))


def declared_slope(o: Observed, d: Declaration) -> float:
    """The slope of what is declared."""
    return o.along(lambda network: _at(o, d, network))


def _at(o: Observed, d: Declaration, network: Network) -> Array:
    """Return what is declared, for a network like that of `o`."""
    reduction = "sum" if d.reduction == "none" else d.reduction
    value = evaluate(d.kind, network, o.e.x, o.case.y, reduction=reduction, **options(o, d))
    return d.scale * np.asarray(value)


def known(o: Observed, d: Declaration) -> bool:
    """Whether what is declared can be evaluated: it has no probes, or as many are known."""
    return d.probe is None or (o.probes is not None and o.probes.shape[2] == d.num_probes)


def near(got: float, expected: float, size: float = 0.0) -> bool:
    """Equal as far as the claims ask."""
    return abs(got - expected) <= LIMIT * max(abs(expected), size, FLOOR)
