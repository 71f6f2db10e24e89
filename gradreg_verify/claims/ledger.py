"""The ledger: every claim of the project, with the checks that can refute it.

docs/claims.md says the same in prose and proves them; a test holds the two lists together.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from gradreg_ref import checks
from gradreg_ref.penalties import PENALTIES
from gradreg_ref.typing import Law
from gradreg_verify.claims import (
    conduct,
    draws,
    estimators,
    formulas,
    laws,
    modes,
    precision,
    refusals,
)
from gradreg_verify.claims.comparison import Target
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


def on(*kinds: str) -> Callable[[Declaration], bool]:
    """Is about penalties of these kinds."""
    return lambda d: d.kind in kinds


def with_law(law: Law) -> Callable[[Declaration], bool]:
    """Is about SpectReg with probes of that law."""
    return lambda d: (d.kind, d.probe) == ("spectreg", law)


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

    def __reduce__(self) -> tuple[Any, ...]:
        """By its id, as its checks are functions: reports travel between processes."""
        return claim_of, (self.id,)

    def check(self, target: Target, e: Example) -> float:
        """All checks at one example; those that cannot be made are left out."""
        errors = [0.0]
        for check in self.checks:
            try:
                errors.append(check(target, e))
            except NotTestable:
                continue
        return max(errors)


PER_EXAMPLE = tuple(row.name for row in PENALTIES.values() if row.of != "weights")

CLAIMS = (
    Claim(
        "values-per-example",
        "S1",
        "values are per example; sum and mean are theirs",
        "∂P_b/∂x_c = 0 for b ≠ c",
        "notation",
        (laws.every_shape, laws.each_alone, laws.sum_and_mean),
        on(*PER_EXAMPLE),
    ),
    Claim(
        "frobreg-formula",
        "S2",
        "FrobReg is ‖J‖²_F",
        "‖J‖²_F = Σ_k ‖Jᵀe_k‖²",
        "frobreg",
        (formulas.formula_of("frobreg"), formulas.unit_probes),
        on("frobreg"),
    ),
    Claim(
        "spectreg-quadratic-form",
        "S3",
        "SpectReg is rᵀAr, A = JJᵀ, and nothing else",
        "(1/q) Σ_j r_jᵀ A r_j, A = JJᵀ",
        "spectreg",
        (formulas.formula_of("spectreg"), formulas.quadratic_form),
        on("spectreg"),
    ),
    Claim(
        "spectreg-unbiased",
        "S4",
        "E SpectReg = ‖J‖²_F, in value and gradient",
        "E rᵀAr = tr A",
        "spectreg",
        (estimators.unbiased,),
        on("spectreg"),
    ),
    Claim(
        "gaussian-variance",
        "S5",
        "variance for gaussian probes",
        "Var = 2‖A‖²_F",
        "spectreg",
        (estimators.gaussian, estimators.gaussian_batch),
        with_law("gaussian"),
    ),
    Claim(
        "rademacher-variance",
        "S6",
        "variance for signs",
        "Var = 2(‖A‖²_F − Σ_k A_kk²)",
        "spectreg",
        (estimators.rademacher,),
        with_law("rademacher"),
    ),
    Claim(
        "sphere-variance",
        "S7",
        "variance on the sphere",
        "Var = 2m/(m+2) · (‖A‖²_F − (tr A)²/m)",
        "spectreg",
        (estimators.sphere,),
        with_law("sphere"),
    ),
    Claim(
        "frames-variance",
        "S24",
        "probes orthogonal across the batch: like examples cancel each other's noise",
        "Var Σ_k f_k = 2m²/((m+2)(m−1)) · Σ_k ‖Â_k − mean Â‖²",
        "frames",
        (estimators.frames_cancel,),
        with_law("frames"),
    ),
    Claim(
        "probes-averaged",
        "S8",
        "q probes are averaged; m orthogonal ones are exact",
        "(1/q) Σ_j r_jᵀ A r_j",
        "spectreg",
        (estimators.averaged, estimators.orthogonal_frame),
        lambda d: d.kind == "spectreg" and d.num_probes > 1,
    ),
    Claim(
        "probe-law",
        "S9",
        "probes: law, scale, independence, seed",
        "E rrᵀ = I",
        "notation",
        (draws.replay, draws.law, draws.threshold, conduct.fresh_probes),
        lambda d: d.probe is not None,
        many_classes,
    ),
    Claim(
        "training-gradient",
        "S10",
        "∇_θ is the gradient of the formula",
        "∇_θ P",
        "notation",
        (
            formulas.training_gradient,
            formulas.in_training_mode,
            formulas.at_inputs_with_a_gradient,
            formulas.unusual_shapes,
        ),
    ),
    Claim(
        "doubleback-formula",
        "S11",
        "DoubleBack is ‖Jᵀ(p − y)‖², p not detached",
        "‖Jᵀ(p − y)‖²",
        "doubleback",
        (
            formulas.formula_of("doubleback"),
            formulas.class_probabilities,
            formulas.all_classes,
        ),
        on("doubleback"),
    ),
    Claim(
        "jacreg-formula",
        "S12",
        "JacReg is ‖SJ‖²_F, p not detached",
        "‖SJ‖²_F, S = diag p − ppᵀ",
        "jacreg",
        (formulas.formula_of("jacreg"), formulas.quarter),
        on("jacreg"),
        classes,
    ),
    Claim(
        "metamorphic-laws",
        "S13",
        "scalings, permutations, shifts, linear model",
        "P(2J) = 4 P(J), …",
        "notation",
        (
            laws.scaled_outputs,
            laws.scaled_inputs,
            laws.permuted_batch,
            laws.permuted_classes,
            laws.linear_model,
            laws.shifted,
        ),
        on(*PER_EXAMPLE),
    ),
    Claim(
        "rounding-bounded",
        "S14",
        "lower precision loses no more than it must",
        "|P̂ − P| ≤ bound",
        "notation",
        (precision.precision,),
    ),
    Claim(
        "contract-formula",
        "S23",
        "Contract is ‖JᵀR‖²_F for the R given, never detached",
        "Σ_iq (Σ_k J_ki R_kq)²",
        "contract",
        (formulas.formula_of("contract"),),
        on("contract"),
    ),
    Claim(
        "onehot-formula",
        "S16",
        "Onehot is ‖Jᵀe_y‖²",
        "‖Jᵀe_y‖²",
        "onehot",
        (formulas.formula_of("onehot"),),
        on("onehot"),
    ),
    Claim(
        "confidence-penalty-formula",
        "S17",
        "the confidence penalty is Σ p log p",
        "Σ_k p_k log p_k",
        "confidence_penalty",
        (formulas.formula_of("confidence_penalty"),),
        on("confidence_penalty"),
        classes,
    ),
    Claim(
        "weight-decay-formula",
        "S18",
        "weight decay is Σ ‖W‖²_F",
        "Σ ‖W‖²_F",
        "weight_decay",
        (formulas.weight_decay,),
        on("weight_decay"),
    ),
    Claim(
        "repeatable",
        "S19",
        "a call can be repeated, and leaves nothing behind",
        "P(seed) = P(seed)",
        "notation",
        (conduct.repeatable, conduct.nothing_left_behind),
    ),
    Claim(
        "bad-input-refused",
        "S20",
        "bad input gets an error, never a number",
        "",
        "backends",
        (refusals.sentences, refusals.labels_out_of_range, refusals.without_grad_mode),
    ),
    Claim(
        "input-side-probes",
        "S21",
        "probes of the inputs: the same mean, the variance of JᵀJ",
        "E ‖JV‖²_F = ‖J‖²_F",
        "modes",
        (modes.input_side,),
        no_function,
    ),
    Claim(
        "finite-differences",
        "S22",
        "finite differences: exact value, gradient to O(h²), one-sided O(h)",
        "2‖v‖ ∇⟨r, z(x + hu) − z(x − hu)⟩ / 2h",
        "modes",
        (modes.differences,),
        no_function,
    ),
)
BY_ID = {claim.id: claim for claim in CLAIMS}
_BY_ALIAS = {claim.alias: claim for claim in CLAIMS}


def claim_of(name: str) -> Claim:
    """The claim of that id or alias.

    Raises
    ------
    ValueError
        There is none.
    """
    if name in _BY_ALIAS:
        return _BY_ALIAS[name]
    return BY_ID[checks.choice("a claim", name, BY_ID)]
