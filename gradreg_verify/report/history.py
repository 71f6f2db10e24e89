"""When a backend was last verified on this machine, and with which outcome.

One small file in the user's state folder ($XDG_STATE_HOME, or ~/.local/state), for
``gradreg backends``. It is a convenience: where it cannot be read or written, nothing is known.
"""

import json
import os
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gradreg_verify.files import read_json, write_atomically
from gradreg_verify.report.report import Report

_NO_HOME = (OSError, RuntimeError)  # it cannot be written to, or is not known


def path() -> Path:
    """Return the path of the file."""
    state = os.environ.get("XDG_STATE_HOME") or Path.home() / ".local" / "state"
    return Path(state) / "gradreg" / "verified.json"


def remember(report: Report) -> None:
    """Write down the outcome for this backend and device, beside the others."""
    failed = f" (fail: {', '.join(report.failed)})" if report.failed else ""
    outcome = {
        "date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        "framework": report.framework,
        "outcome": report.counts + failed,
    }
    record = {**_known(), f"{report.target} on {report.device}": outcome}
    with suppress(*_NO_HOME):
        path().parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path(), (json.dumps(record, indent=1) + "\n").encode())


def last(backend: str, device: str, framework: str) -> str:
    """Describe the last outcome; an outcome of another version of the framework says so."""
    found = _known().get(f"{backend} on {device}")
    if not isinstance(found, Mapping):
        return f"never (gradreg verify {backend} --device {device})"
    said = f"{found.get('date')}: {found.get('outcome')}"
    other = found.get("framework")
    return said if other == framework else f"{said}, with {other}: verify again"


def _known() -> dict[str, Any]:
    """Return all outcomes; none where there is no such file."""
    with suppress(ValueError, *_NO_HOME):
        return read_json(path(), "verdicts", dict)
    return {}
