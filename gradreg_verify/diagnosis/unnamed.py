"""What can be said of values that no variant fits: that they are near, or their degree in J."""

import numpy as np

from gradreg_ref.penalties import PENALTIES
from gradreg_verify.claims.comparison import LIMIT
from gradreg_verify.diagnosis.expected import declared_value
from gradreg_verify.diagnosis.factors import FEWEST, SAME
from gradreg_verify.diagnosis.observe import Observed
from gradreg_verify.diagnosis.words import NEAR
from gradreg_verify.subject.declaration import Declaration

_ROUNDING = 1e-5  # float32 rounds to 6e-8, some of it many times


def nearly(observed: list[Observed], d: Declaration) -> str:
    """Within 1 %, and exact on no network, as finite differences are."""
    expected = np.array([float(declared_value(o, d, o.e.network)) for o in observed])
    if len(observed) < FEWEST or not expected.all():
        return ""
    ratios = np.array([o.value for o in observed]) / expected
    for a, text in ((1.0, ""), (0.5, "½ × "), (2.0, "2 × ")):
        errors = np.abs(ratios / a - 1)
        off = float(errors.max())
        if errors.min() > LIMIT and off <= NEAR:
            source = "finite differences" + (" or a lower precision" if off < _ROUNDING else "")
            return (
                f"Within 1 % its value is {text}the declared one (it is off by {100 * off:.2g}% at "
                f"most, on {len(observed)} networks), and no variant is exact: {source} "
                "look like this."
            )
    return ""


def of_degree(observed: list[Observed], d: Declaration) -> str:
    """The degree k in J: logits times c multiply the value by c^k."""
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
        return f"It is of degree 2 in J, as {d.kind} is; the kit knows no formula that fits."
    return (
        f"It is of degree {k:g} in J, and {d.kind} of degree 2: with the last layer doubled its "
        f"value is 2^{k:g} times as large."
    )
