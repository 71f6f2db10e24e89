"""How a verification is shown while it runs: a row for each verdict, and what is left."""

from collections.abc import Sequence
from textwrap import indent, wrap

from gradreg_verify.claims.ledger import CLAIMS
from gradreg_verify.report.report import Result

# Of the time of all claims, in parts of that of a short one, as measured with torch on a CPU.
LONG = {
    "values-per-example": 12,
    "spectreg-unbiased": 4,
    "gaussian-variance": 8,
    "sphere-variance": 5,
    "probe-law": 20,
    "training-gradient": 6,
    "metamorphic-laws": 10,
    "rounding-bounded": 16,
    "repeatable": 12,
    "input-side-probes": 10,
    "finite-differences": 20,
}


def so_far(results: Sequence[Result]) -> str:
    """Say which claim is checked now, and about how long all claims take.

    The time is that of the claims alone: what was loaded before does not count.
    """
    said = f"claim {min(len(results) + 1, len(CLAIMS))} of {len(CLAIMS)}"
    made = [r for r in results if r.verdict != "NOT-APPLICABLE"]
    if not made:
        return said
    seconds = sum(r.seconds for r in made)
    left = sum(LONG.get(claim.id, 1) for claim in CLAIMS[len(results) :])
    about = seconds / sum(LONG.get(r.claim.id, 1) for r in made) * left
    return f"{said}, about {about:.0f} s left" if about >= 1 else said


def row(result: Result, width: int | None = None) -> str:
    """A verdict in a line, or in several where a line of that width is too short for it."""
    line = str(result)
    if width is None or all(len(part) <= width for part in line.splitlines()):
        return line
    rest = [result.claim.sentence, result.figure]
    rest += [f"not checked: {what}" for what in result.left_out]
    lines = [part for text in rest for part in wrap(text, max(width - 2, 20))]
    return f"{result.verdict} {result.claim.id}\n" + indent("\n".join(lines), "  ")
