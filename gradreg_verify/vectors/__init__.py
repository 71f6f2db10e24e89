"""Frozen test vectors: cases with their results, in JSON, for an implementation in any language.

A published file never changes; new cases come in a new file. docs/vectors.md has the format.
"""

from gradreg_verify.vectors.cases import MOST
from gradreg_verify.vectors.checking import Checked, check
from gradreg_verify.vectors.comparing import LIMIT
from gradreg_verify.vectors.frozen import PUBLISHED, export, published

__all__ = ["LIMIT", "MOST", "PUBLISHED", "Checked", "check", "export", "published"]
