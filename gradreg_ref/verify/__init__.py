"""The conformance kit: which claims hold for an implementation, on this machine.

``verify(backend)`` runs every claim of `gradreg_ref.verify.claims` on the bundled examples.
"""

from gradreg_ref.verify.claims import BY_ID, CLAIMS, Claim
from gradreg_ref.verify.comparison import Broken, Target
from gradreg_ref.verify.examples import Example, bundled
from gradreg_ref.verify.report import Report, Result, verify

__all__ = [
    "BY_ID",
    "CLAIMS",
    "Broken",
    "Claim",
    "Example",
    "Report",
    "Result",
    "Target",
    "bundled",
    "verify",
]
