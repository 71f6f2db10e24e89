"""The conformance kit: which claims hold for an implementation, on this machine.

``verify(backend)`` or ``verify(function, kind="frobreg")`` runs every claim of
`gradreg_verify.claims.ledger` on the bundled examples.
"""

from gradreg_verify.claims.claim import Claim
from gradreg_verify.claims.ledger import BY_ID, CLAIMS
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example, bundled
from gradreg_verify.outcomes import Broken, NotTestable
from gradreg_verify.report.report import Report, Result
from gradreg_verify.run import assert_conforms, verify
from gradreg_verify.subject.declaration import Declaration, declare

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
