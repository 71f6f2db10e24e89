"""What an implementation computes instead, and the smallest network that shows it."""

from dataclasses import dataclass
from time import perf_counter

from gradreg_verify.claims.claim import Claim
from gradreg_verify.claims.target import Target
from gradreg_verify.diagnosis.computes import computed
from gradreg_verify.diagnosis.observe import observations
from gradreg_verify.diagnosis.shrink import Counterexample, smallest
from gradreg_verify.diagnosis.words import in_a_line
from gradreg_verify.outcomes import Hung, raised

SECONDS = 30.0  # half of them to find and simplify an example, the rest to name what is computed
_NOT_OF_A_FORMULA = ("rounding-bounded", "repeatable", "bad-input-refused")


@dataclass(frozen=True)
class Diagnosis:
    """Why a claim fails.

    Parameters
    ----------
    claim : str
        Id of the first that fails.
    computes : str
        What is computed on the networks of the kit; "" where nothing can be said.
    counterexample : Counterexample, optional
        The smallest network found.
    """

    claim: str
    computes: str
    counterexample: Counterexample | None

    def __str__(self) -> str:
        lines = [f"{self.claim} fails. {self.computes}".strip()]
        if self.counterexample is not None:
            lines.append(str(self.counterexample))
        return "\n".join(lines)


def diagnose(target: Target, claim: Claim) -> Diagnosis:
    """Diagnose a function for which the claim fails; errors of the diagnosis are part of it."""
    one, shown, sentences, start = target.function(), None, [], perf_counter()
    try:
        shown = smallest(target, claim, start + SECONDS / 2)
        if claim.id not in _NOT_OF_A_FORMULA:
            more = () if shown is None else (shown.e,)
            seen = observations(one, more, start + SECONDS)
            sentences.append(computed(seen, one.declaration))
    except Hung as hung:
        sentences.append(f"The diagnosis ended early: the function {hung}.")
    except Exception as error:  # a function may do anything; the report is not lost by it
        sentences.append(f"The diagnosis itself raised {in_a_line(raised(error))}")
    return Diagnosis(claim.id, " ".join(filter(None, sentences)), shown)
