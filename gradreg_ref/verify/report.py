"""Running the claims, and what came out."""

from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter
from typing import Literal

from gradreg_ref.backends import Backend, require_device
from gradreg_ref.verify.claims import CLAIMS, Claim
from gradreg_ref.verify.comparison import LIMIT, Broken, Target
from gradreg_ref.verify.examples import Example, bundled

Verdict = Literal["PASS", "FAIL"]


@dataclass(frozen=True)
class Result:
    """The verdict on one claim.

    Parameters
    ----------
    claim, sentence : str
        Its id, and what it says.
    verdict : {"PASS", "FAIL"}
        FAIL also where the implementation raised what it should not.
    figure : str
        Largest error and number of examples; for a failure where, expected and obtained.
    seconds : float
        Wall time.
    """

    claim: str
    sentence: str
    verdict: Verdict
    figure: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.verdict}  {self.claim:4} {self.sentence:58} {self.figure}"


@dataclass(frozen=True)
class Report:
    """Verdicts on all claims for one implementation, device and dtype."""

    backend: str
    framework: str
    device: str
    results: tuple[Result, ...]

    @property
    def ok(self) -> bool:
        """Whether every claim holds."""
        return all(result.verdict == "PASS" for result in self.results)

    def __str__(self) -> str:
        return "\n".join(str(result) for result in self.results)


def verify(
    backend: Backend,
    *,
    device: str = "cpu",
    progress: Callable[[Result], None] = lambda _: None,
) -> Report:
    """Run every claim on the bundled examples; deterministic.

    Parameters
    ----------
    backend : Backend
        From `gradreg_ref.backends.load`, or anything that has its methods.
    device : str
        One of ``backend.capabilities().devices``.
    progress : callable
        Called with every result as it comes.

    Returns
    -------
    Report

    Raises
    ------
    BackendUnavailable
        The device is not there.
    """
    require_device(backend, device)
    target, examples, results = Target(backend, device), list(bundled()), []
    for claim in CLAIMS:
        results.append(run(claim, target, examples))
        progress(results[-1])
    framework = backend.capabilities().framework
    return Report(backend.name, framework, device, tuple(results))


def run(claim: Claim, target: Target, examples: list[Example]) -> Result:
    """One claim on all examples it applies to; the first that breaks it ends the run."""
    start, largest, shown_on = perf_counter(), 0.0, 0

    def result(verdict: Verdict, figure: str) -> Result:
        return Result(claim.id, claim.sentence, verdict, figure, perf_counter() - start)

    for e in filter(claim.applies, examples):
        try:
            largest = max(largest, claim.check(target, e))
        except Broken as broken:
            return result("FAIL", f"{e}: {broken}")
        except Exception as error:  # whatever an implementation under test raises
            return result("FAIL", f"{e}: raised {type(error).__name__}: {error}")
        shown_on += 1
    return result("PASS", f"{largest:.1e} of {LIMIT:g} on {shown_on} examples")
