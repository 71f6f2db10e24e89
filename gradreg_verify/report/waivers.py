"""Failures that somebody accepts: TOML, lines ``probe-law = "the reason"`` in [waivers]."""

from pathlib import Path

from gradreg_verify.claims.ledger import claim_of
from gradreg_verify.files import read_toml


def read(path: Path) -> dict[str, str]:
    """Claim id to reason.

    Raises
    ------
    ValueError
        No TOML, no table ``[waivers]``, an unknown claim, or no reason.
    """
    table = read_toml(path, "waivers in TOML").get("waivers")
    if not isinstance(table, dict):
        raise ValueError(
            f"expected a table [waivers] in {path}, with lines like probe-law = 'reason'"
        )
    for claim, reason in table.items():
        try:
            claim_of(claim)
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error
        if not isinstance(reason, str) or not reason.strip():
            raise ValueError(f"expected a reason for waiving {claim} in {path}, got {reason!r}")
    return table
