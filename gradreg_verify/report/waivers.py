"""Failures that somebody accepts: a TOML file with lines ``S9 = "the reason"`` in [waivers]."""

import tomllib
from pathlib import Path

from gradreg_ref import checks
from gradreg_verify.claims.ledger import BY_ID


def read(path: Path) -> dict[str, str]:
    """Claim id to reason.

    Raises
    ------
    ValueError
        No TOML, no table ``[waivers]``, an unknown claim, or no reason.
    """
    try:
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("waivers")
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"expected TOML in {path}: {error}") from error
    if not isinstance(table, dict):
        raise ValueError(f"expected a table [waivers] in {path}, with lines like S9 = 'reason'")
    for claim, reason in table.items():
        checks.choice("a waiver's claim", claim, BY_ID)
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"expected a reason for waiving {claim} in {path}, got {reason!r}")
    return table
