"""Evidence against a sampler, gathered over runs with fresh seeds.

Every run gives p = min(1, N · least p-value), and from it the e-value e = 1/(2√p): its mean is at
most 1 if the sampler is right, so the product E over independent runs exceeds 1/α with chance at
most α, however many runs there are and whenever one stops (Ville's inequality; Vovk, Wang,
"E-values: calibration, combination and applications", Ann. Statist. 49, 2021).
"""

import json
import os
from math import exp, log
from pathlib import Path
from typing import Any

from gradreg_verify.claims.draws import ALPHA
from gradreg_verify.report.report import Report


def accumulate(path: Path, report: Report) -> tuple[str, bool]:
    """Add a run to the file, atomically; what the evidence is now, and whether it refutes.

    Raises
    ------
    ValueError
        The file is no such record, or has this seed already: runs must be independent.
    """
    record = read(path)
    key = f"{report.target} ({report.declared})"
    runs = record.setdefault(key, [])
    if report.evidence is None:
        return "no sampler was tested to its end: nothing to add", False
    if any(run["seed"] == report.seed for run in runs):
        raise ValueError(f"expected a fresh seed, {path} has seed {report.seed} already")
    runs.append({"seed": report.seed, "p": report.evidence.least, "tests": report.evidence.tests})
    write(path, record)
    total = sum(log_e(run["p"]) for run in runs)
    refuted = total >= -log(ALPHA)
    verdict = "refuted" if refuted else "not refuted"
    return f"E = {exp(total):.3g} after {len(runs)} runs; {verdict} at 1/α = {1 / ALPHA:g}", refuted


def log_e(p: float) -> float:
    """log 1/(2√p)."""
    return -log(2) - 0.5 * log(max(p, 1e-300))


def read(path: Path) -> dict[str, Any]:
    """The record so far."""
    if not path.exists():
        return {}
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        for runs in record.values():
            for run in runs:
                float(run["p"]), int(run["seed"])
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        raise ValueError(f"expected a record of earlier runs in {path}: {error}") from error
    return dict(record)


def write(path: Path, record: dict[str, Any]) -> None:
    """All of it or nothing."""
    new = path.with_name(path.name + ".new")
    new.write_text(json.dumps(record, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    os.replace(new, path)
