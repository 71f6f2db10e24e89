"""Where the numbers of a report are from: versions, and the hash of the source under test."""

import platform

import numpy as np
import scipy

from gradreg_ref import __version__
from gradreg_verify.claims.target import Target


def provenance(target: Target) -> dict[str, str]:
    """Versions of kit, Python and libraries; name, file and hash of a function."""
    found = {
        "kit": f"gradreg-ref {__version__}",
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scipy": scipy.__version__,
        "framework": target.backend.capabilities().framework,
    }
    one = target.declared
    return found | (one.harness.provenance() if one is not None else {})
