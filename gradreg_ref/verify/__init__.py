"""The conformance kit: which claims hold for an implementation, on this machine.

``verify(backend)`` or ``verify(function, kind="frobreg")`` runs every claim of
`gradreg_ref.verify.claims` on the bundled examples.
"""

from gradreg_ref.verify.assertion import assert_conforms
from gradreg_ref.verify.claims import BY_ID, CLAIMS, Claim
from gradreg_ref.verify.comparison import Target
from gradreg_ref.verify.declaration import Declaration, declare
from gradreg_ref.verify.examples import Example, bundled
from gradreg_ref.verify.outcomes import Broken, NotTestable
from gradreg_ref.verify.report import Report, Result
from gradreg_ref.verify.run import verify

__all__ = [
    "BY_ID",
    "CLAIMS",
    "Broken",
    "Claim",
    "Declaration",
    "Example",
    "NotTestable",
    "Report",
    "Result",
    "Target",
    "assert_conforms",
    "bundled",
    "declare",
    "verify",
]
