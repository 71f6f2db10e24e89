"""Counts of the command line. A limit keeps a mistyped count from filling the memory."""

from gradreg_ref import checks

_MOST = 1000


def few(name: str, value: int) -> int:
    """A whole number from 1 to 1000, of seeds or processes."""
    if checks.count(name, value) > _MOST:
        raise ValueError(f"expected {name} of at most {_MOST}, got {value}")
    return value
