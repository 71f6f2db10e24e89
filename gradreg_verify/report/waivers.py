"""Failures that somebody accepts: TOML, lines ``probe-law = "the reason"`` in [waivers]."""

import tomllib
from pathlib import Path

from gradreg_verify.claims.ledger import claim_of


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
        raise ValueError(
            f"expected a table [waivers] in {path}, with lines like probe-law = 'reason'"
        )
    for claim, reason in table.items():
        claim_of(claim)
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"expected a reason for waiving {claim} in {path}, got {reason!r}")
    return table
