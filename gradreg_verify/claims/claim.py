"""What a claim is, and what claims are about."""

from collections.abc import Callable
from dataclasses import dataclass

from gradreg_ref.typing import Law
from gradreg_verify.claims.target import Target
from gradreg_verify.examples import Example
from gradreg_verify.outcomes import NotTestable
from gradreg_verify.subject.declaration import Declaration

Check = Callable[[Target, Example], float]


def always(e: Example) -> bool:
    """Applies to every example."""
    del e
    return True


def classes(e: Example) -> bool:
    """Needs a softmax over more than one class."""
    return e.probes.shape[1] > 1


def many_classes(e: Example) -> bool:
    """Needs room for more than one probe below m."""
    return e.probes.shape[1] > 2


def every_kind(d: Declaration) -> bool:
    """Is about every penalty."""
    del d
    return True


def no_function(d: Declaration) -> bool:
    """Is about backends only: a function is declared with its side, and has its own way."""
    del d
    return False


def on(*kinds: str, law: Law | None = None) -> Callable[[Declaration], bool]:
    """Is about penalties of these kinds, of a law with probes of that law."""
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
    page : str
        Of the documentation, where it is proved.
    checks : tuple of callables
        (target, example) ↦ largest relative error; they raise `Broken`, or `NotTestable`.
    about : callable
        Whether it says something about a declared penalty. Of a backend it always does.
    applies : callable
        Whether an example can show it.
    """

    id: str
    alias: str
    sentence: str
    formula: str
    page: str
    checks: tuple[Check, ...]
    about: Callable[[Declaration], bool] = every_kind
    applies: Callable[[Example], bool] = always

    @property
    def states_formula(self) -> bool:
        """Whether it says what a penalty computes."""
        return self.id.endswith("-formula") or self.id == "spectreg-quadratic-form"

    def check(self, target: Target, e: Example) -> float:
        """All checks at one example; those that cannot be made are left out."""
        errors = [0.0]
        for check in self.checks:
            try:
                errors.append(check(target, e))
            except NotTestable:
                continue
        return max(errors)
