"""The ledger: every claim of the project, with the check that can refute it.

docs/claims.md says the same in prose and proves them; a test holds the two lists together.
"""

from collections.abc import Callable
from dataclasses import dataclass

from gradreg_ref.verify import draws, estimators, formulas, laws, precision
from gradreg_ref.verify.comparison import Target
from gradreg_ref.verify.examples import Example

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


@dataclass(frozen=True)
class Claim:
    """A sentence that can be false.

    Parameters
    ----------
    id : str
        Under which docs, tests and reports name it.
    sentence : str
        What is claimed.
    check : callable
        (target, example) ↦ largest relative error, or raises `Broken`.
    applies : callable
        Whether an example can show it.
    """

    id: str
    sentence: str
    check: Check
    applies: Callable[[Example], bool] = always


CLAIMS = (
    Claim("S1", "values are per example; sum and mean are theirs", laws.scope),
    Claim("S2", "FrobReg is ‖J‖²_F", formulas.frobreg),
    Claim("S3", "SpectReg is rᵀAr, A = JJᵀ, and nothing else", formulas.spectreg),
    Claim("S4", "E SpectReg = ‖J‖²_F, in value and gradient", estimators.unbiased),
    Claim("S5", "variance 2‖A‖²_F for gaussian probes", estimators.gaussian),
    Claim("S6", "variance 2(‖A‖²_F − ΣA_kk²) for signs", estimators.rademacher),
    Claim("S7", "variance 2m/(m+2)·(‖A‖²_F − (tr A)²/m) on the sphere", estimators.sphere),
    Claim("S8", "q probes are averaged; m orthogonal ones are exact", estimators.num_probes),
    Claim("S9", "probes: law, scale, independence, seed", draws.law, many_classes),
    Claim("S10", "∇_θ is the gradient of the formula", formulas.training_gradient),
    Claim("S11", "DoubleBack is ‖Jᵀ(p − y)‖², p not detached", formulas.doubleback),
    Claim("S12", "JacReg is ‖SJ‖²_F, p not detached", formulas.jacreg, classes),
    Claim("S13", "scalings, permutations, shifts, linear model", laws.metamorphic),
    Claim("S14", "precision within its bound; bad input refused", precision.precision),
    Claim("S16", "Onehot is ‖Jᵀe_y‖²", formulas.onehot),
    Claim("S17", "the confidence penalty is Σ p log p", formulas.confidence_penalty, classes),
    Claim("S18", "weight decay is Σ ‖W‖²_F", formulas.weight_decay),
)
BY_ID = {claim.id: claim for claim in CLAIMS}
