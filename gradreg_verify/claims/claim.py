"""What a claim is, and what claims are about."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass

from gradreg_ref.typing import Law
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example
from gradreg_verify.outcomes import NotTestable, largest
from gradreg_verify.subject.declaration import Declaration

Check = Callable[[Target, Example], Iterator[float]]


def on(*kinds: str, law: Law | None = None) -> Callable[[Declaration], bool]:
    """Whether a claim is about a declaration, by kind and law; no kinds: backends only."""
    return lambda d: d.kind in kinds and law in (None, d.probe)


@dataclass(frozen=True)
class Claim:
    """A sentence that can be false.

    Parameters
    ----------
    id : str
        The claim's name in docs, tests and reports.
    alias : str
        Its number in proofs and in reports of earlier versions.
    sentence, formula : str
        What is claimed, in words and in signs.
    checks : tuple of callables
        They yield the relative error of each comparison, and raise `Broken`, or `NotTestable`.
    page : str
        Of the documentation, where it is proved.
    about : callable
        Whether it says something about a declared penalty. Of a backend it always does.
    logits : int
        The fewest logits with which an example can show the claim.
    """

    id: str
    alias: str
    sentence: str
    formula: str
    checks: tuple[Check, ...]
    page: str = "notation"
    about: Callable[[Declaration], bool] = lambda _: True
    logits: int = 1

    def applies(self, e: Example) -> bool:
        """Whether an example can show it."""
        return e.m >= self.logits

    @property
    def states_formula(self) -> bool:
        """Whether it says what a penalty computes."""
        return self.id.endswith("-formula") or self.id == "spectreg-quadratic-form"

    def check(self, target: Target, e: Example) -> float:
        """Run all checks at one example; leave out checks that cannot be made."""
        errors = [0.0]
        for check in self.checks:
            with suppress(NotTestable):
                errors.append(largest(check(target, e)))
        return max(errors)
