"""Evidence against a sampler, gathered over runs with fresh seeds.

Every run gives p = min(1, N · least p-value), and from it the e-value e = 1/(2√p): its mean is at
most 1 if the sampler is right, so the product E over independent runs exceeds 1/α with chance at
most α, however many runs there are and whenever one stops (Ville's inequality; Vovk, Wang,
"E-values: calibration, combination and applications", Ann. Statist. 49, 2021).
"""

import json
from decimal import Decimal
from math import exp, log
from pathlib import Path
from typing import Any

from gradreg_verify.claims.draws import ALPHA
from gradreg_verify.files import read_json, require_writable, write_atomically
from gradreg_verify.report.report import Report

_LEAST = 1e-300  # in place of a p-value too small for a float: this gives less evidence, never more
_LARGEST = 700  # of a logarithm whose exponential is a float


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
    p = max(report.evidence.least, _LEAST)
    runs.append({"seed": report.seed, "p": p, "tests": report.evidence.tests})
    write_atomically(path, (json.dumps(_checked(record), indent=1) + "\n").encode())
    total = sum(log_e(run["p"]) for run in runs)
    refuted = total >= -log(ALPHA)
    verdict = "refuted" if refuted else "not refuted"
    said = f"E = {in_digits(total)} after {len(runs)} runs; {verdict} at 1/α = {1 / ALPHA:g}"
    return said, refuted


def log_e(p: float) -> float:
    """log 1/(2√p)."""
    return -log(2) - 0.5 * log(p)


def in_digits(logarithm: float) -> str:
    """exp(logarithm) to three digits, whatever its size: 4.2e+913."""
    if abs(logarithm) < _LARGEST:
        return f"{exp(logarithm):.3g}"
    return f"{Decimal(logarithm).exp():.2e}"


def read(path: Path) -> dict[str, Any]:
    """The record so far."""
    if not path.exists():
        return {}
    remedy = "delete it to gather evidence anew"
    return read_json(path, "a record of earlier runs", _checked, remedy=remedy)


def require_place(path: Path) -> None:
    """Before anything is run, require a record, or no file, at a place that can be written to.

    Raises
    ------
    ValueError, OSError
        What is there is no such record, or the system refuses a file there.
    """
    read(path)
    require_writable(path, "the evidence")


def _checked(record: Any) -> dict[str, Any]:
    """The record, if E follows from it: one wrong p would decide, and so would a run twice."""
    for key, runs in record.items():
        for run in runs:
            p, seed = run["p"], run["seed"]
            if type(p) not in (int, float) or not 0 < p <= 1:
                raise ValueError(f"p = {p!r} of {key}, which is no number above 0 and up to 1")
            if type(seed) is not int:
                raise ValueError(f"the seed {seed!r} of {key}, which is no whole number")
        if len({run["seed"] for run in runs}) < len(runs):
            raise ValueError(f"a seed of {key} twice")
    return dict(record)
