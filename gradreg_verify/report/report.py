"""The result of a verification: a verdict on every claim, and the origin of the numbers."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
import scipy

from gradreg_ref import __version__
from gradreg_verify.claims.claim import Claim
from gradreg_verify.claims.draws import Evidence
from gradreg_verify.claims.target import Target
from gradreg_verify.diagnosis.diagnose import Diagnosis
from gradreg_verify.subject.signature import source_of

Verdict = Literal["PASS", "FAIL", "WAIVED", "NOT-APPLICABLE", "NOT-TESTED"]


@dataclass(frozen=True)
class Result:
    """The verdict on one claim.

    Parameters
    ----------
    claim : Claim
        What was checked.
    verdict : {"PASS", "FAIL", "WAIVED", "NOT-APPLICABLE", "NOT-TESTED"}
        FAIL: the claim does not hold, or the implementation raised an unexpected error. WAIVED: the
        claim fails, and a waiver gives a reason. NOT-APPLICABLE: the claim concerns other
        penalties. NOT-TESTED: no check was possible, so nothing is known.
    figure : str
        Largest error and number of examples; for a failure the place, and both numbers.
    left_out : tuple of str
        Checks of a claim that could not be made, and why.
    seconds : float
        Wall time.
    hung : bool
        A call did not return in time.
    """

    claim: Claim
    verdict: Verdict
    figure: str
    left_out: tuple[str, ...] = ()
    seconds: float = 0.0
    hung: bool = False

    def __str__(self) -> str:
        head = f"{self.verdict:14} {self.claim.id:26} {self.claim.sentence:50} {self.figure}"
        return "\n".join([head, *(f"{'':41}  not checked: {what}" for what in self.left_out)])


@dataclass(frozen=True)
class Report:
    """Verdicts on all claims for one implementation.

    Parameters
    ----------
    target, declared : str
        Name of the implementation, and what it was declared to compute.
    tier : str
        How much could be checked.
    framework, device : str
        The framework and the device that ran it.
    dtypes : tuple of str
        The dtypes in which rounding is checked. Formulas are checked in float64.
    seed : int
        Seed of everything that is drawn.
    results : tuple of Result
        In the order of the ledger.
    diagnosis : Diagnosis, optional
        Where a claim fails: the smallest network that shows it, and what is computed instead.
    provenance : mapping
        File, source hash, versions.
    evidence : Evidence, optional
        Results of the tests of the drawn probes.
    self_test : str
        The score of the self-test, if it ran too.
    command : str
        The command line that made the report, if there was one.
    """

    target: str
    declared: str
    tier: str
    framework: str
    device: str
    dtypes: tuple[str, ...]
    seed: int
    results: tuple[Result, ...]
    diagnosis: Diagnosis | None = None
    provenance: Mapping[str, str] = field(default_factory=dict)
    evidence: Evidence | None = None
    self_test: str = "not run"
    command: str = ""

    @property
    def ok(self) -> bool:
        """Whether no claim fails, the formula was tested, and every call returned."""
        verdicts = {result.verdict for result in self.results}
        hung = any(result.hung for result in self.results)
        return "FAIL" not in verdicts and "PASS" in verdicts and self.tested and not hung

    @property
    def tested(self) -> bool:
        """Whether a claim on what is computed was checked at all."""
        verdicts = {r.verdict for r in self.results if r.claim.states_formula}
        return verdicts - {"NOT-APPLICABLE"} != {"NOT-TESTED"}

    @property
    def status(self) -> int:
        """Return the exit status: 0 all is well, 1 a claim fails, 2 it was not tested."""
        return 1 if self.failed else 0 if self.ok else 2

    @property
    def failed(self) -> list[str]:
        """Ids of the claims that fail."""
        return [result.claim.id for result in self.results if result.verdict == "FAIL"]

    @property
    def counts(self) -> str:
        """Return how many claims hold, fail, are waived, could not be tested, do not apply."""
        said = counted([result.verdict for result in self.results])
        return said if self.tested else f"its formula was not tested: {said}"

    def __str__(self) -> str:
        untested = "" if self.tested else "; its formula was not tested"
        lines = [
            f"{self.target}: {self.declared}{untested}",
            f"{self.tier}; {self.framework}, {self.device}",
        ]
        lines += [str(r) for r in self.results if r.verdict != "NOT-APPLICABLE"]
        lines += [self.counts]
        return "\n".join(lines + ([str(self.diagnosis)] if self.diagnosis else []))


def counted(verdicts: Sequence[str]) -> str:
    """Count the verdicts of each kind, in words."""
    said = {
        "PASS": "hold",
        "FAIL": "fail",
        "WAIVED": "waived",
        "NOT-TESTED": "not tested",
        "NOT-APPLICABLE": "not applicable",
    }
    return ", ".join(f"{verdicts.count(v)} {what}" for v, what in said.items() if v in verdicts)


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
    return found | (source_of(one.harness.function) if one is not None else {})
