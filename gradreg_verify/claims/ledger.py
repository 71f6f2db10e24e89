"""The ledger: every claim of the project, with the checks that can refute it.

docs/claims.md has the same claims in prose, with proofs; a test compares the two lists.
"""

import copyreg

from gradreg_ref import checks
from gradreg_ref.penalties import PENALTIES
from gradreg_ref.typing import Law
from gradreg_verify.claims import (
    coins,
    conduct,
    draws,
    estimators,
    formulas,
    laws,
    modes,
    refusals,
)
from gradreg_verify.claims.claim import Check, Claim, on

_PER_EXAMPLE = tuple(row.name for row in PENALTIES.values() if row.of != "weights")


def _states(
    kind: str, alias: str, sentence: str, formula: str, *more: Check, logits: int = 1
) -> Claim:
    """The claim that a penalty is its formula."""
    name = f"{kind.replace('_', '-')}-formula"
    made = (formulas.formula_of(kind), *more)
    return Claim(name, alias, sentence, formula, made, kind, on(kind), logits)


def _of_law(
    law: Law, alias: str, sentence: str, formula: str, *made: Check, page: str = "spectreg"
) -> Claim:
    """The claim about the variance for probes of a law."""
    about = on("spectreg", law=law)
    return Claim(f"{law}-variance", alias, sentence, formula, made, page, about)


CLAIMS = (
    Claim(
        "values-per-example",
        "S1",
        "the sum and mean are of one value per example",
        "∂P_b/∂x_c = 0 for b ≠ c",
        (laws.every_shape, laws.each_alone, laws.sum_and_mean),
        about=on(*_PER_EXAMPLE),
    ),
    _states("frobreg", "S2", "FrobReg is ‖J‖²_F", "‖J‖²_F = Σ_k ‖Jᵀe_k‖²", formulas.unit_probes),
    Claim(
        "spectreg-quadratic-form",
        "S3",
        "SpectReg is rᵀAr, A = JJᵀ, without other terms",
        "(1/q) Σ_j r_jᵀ A r_j, A = JJᵀ",
        (formulas.formula_of("spectreg"), formulas.quadratic_form),
        page="spectreg",
        about=on("spectreg"),
    ),
    Claim(
        "spectreg-unbiased",
        "S4",
        "on average SpectReg is ‖J‖²_F, also in gradient",
        "E rᵀAr = tr A",
        (estimators.unbiased,),
        page="spectreg",
        about=on("spectreg"),
    ),
    _of_law(
        "gaussian",
        "S5",
        "the variance with gaussian probes",
        "Var = 2‖A‖²_F",
        estimators.gaussian,
        estimators.gaussian_batch,
    ),
    _of_law(
        "rademacher",
        "S6",
        "the variance with probes of random signs",
        "Var = 2(‖A‖²_F − Σ_k A_kk²)",
        estimators.rademacher,
    ),
    _of_law(
        "sphere",
        "S7",
        "the variance with probes on the sphere",
        "Var = 2m/(m+2) · (‖A‖²_F − (tr A)²/m)",
        estimators.sphere,
    ),
    _of_law(
        "frames",
        "S24",
        "with frames the noise of equal examples cancels",
        "Var Σ_k f_k = 2m²/((m+2)(m−1)) · Σ_k ‖Â_k − mean Â‖²",
        estimators.frames_cancel,
        page="frames",
    ),
    Claim(
        "probes-averaged",
        "S8",
        "probes are averaged; m orthogonal ones are exact",
        "(1/q) Σ_j r_jᵀ A r_j",
        (estimators.averaged, estimators.orthogonal_frame),
        page="spectreg",
        about=lambda d: d.kind == "spectreg" and d.num_probes > 1,
    ),
    Claim(
        "probe-law",
        "S9",
        "probes have the law declared, and are independent",
        "E rrᵀ = I",
        (draws.replay, draws.law, coins.threshold, conduct.fresh_probes),
        about=lambda d: d.probe is not None,
        logits=3,
    ),
    Claim(
        "training-gradient",
        "S10",
        "the parameter gradient is that of the formula",
        "∇_θ P",
        (
            formulas.training_gradient,
            formulas.in_training_mode,
            formulas.at_inputs_with_a_gradient,
            formulas.where_a_layer_is_frozen,
            conduct.as_a_part_of_a_loss,
            conduct.of_one_pass,
            formulas.unusual_shapes,
        ),
    ),
    _states(
        "doubleback",
        "S11",
        "DoubleBack is ‖Jᵀ(p − y)‖², p not detached",
        "‖Jᵀ(p − y)‖²",
        formulas.class_probabilities,
        formulas.all_classes,
        formulas.where_sure("doubleback"),
    ),
    _states(
        "jacreg",
        "S12",
        "JacReg is ‖SJ‖²_F, p not detached",
        "‖SJ‖²_F, S = diag p − ppᵀ",
        formulas.quarter,
        formulas.where_sure("jacreg"),
        logits=2,
    ),
    Claim(
        "metamorphic-laws",
        "S13",
        "laws of scaling, permutation, shift, linear models",
        "P(2J) = 4 P(J), …",
        (
            laws.scaled_outputs,
            laws.scaled_inputs,
            laws.permuted_batch,
            laws.permuted_classes,
            laws.linear_model,
            laws.shifted,
        ),
        about=on(*_PER_EXAMPLE),
    ),
    Claim(
        "rounding-bounded",
        "S14",
        "in lower precision the error stays below a bound",
        "|P̂ − P| ≤ bound",
        (modes.precision, modes.precision_of_a_large_batch),
    ),
    _states(
        "contract",
        "S23",
        "Contract is ‖JᵀR‖²_F, the given R not detached",
        "Σ_iq (Σ_k J_ki R_kq)²",
    ),
    _states("onehot", "S16", "Onehot is ‖Jᵀe_y‖²", "‖Jᵀe_y‖²"),
    _states(
        "confidence_penalty",
        "S17",
        "the confidence penalty is Σ p log p",
        "Σ_k p_k log p_k",
        formulas.where_sure("confidence_penalty"),
        logits=2,
    ),
    Claim(
        "weight-decay-formula",
        "S18",
        "weight decay is Σ ‖W‖²_F",
        "Σ ‖W‖²_F",
        (formulas.weight_decay,),
        page="weight_decay",
        about=on("weight_decay"),
    ),
    Claim(
        "repeatable",
        "S19",
        "one seed gives one number; nothing else changes",
        "P(seed) = P(seed)",
        (conduct.repeatable, conduct.after_a_step, conduct.nothing_left_behind),
    ),
    Claim(
        "bad-input-refused",
        "S20",
        "bad input raises an error, never gives a number",
        "",
        (refusals.sentences, refusals.labels_out_of_range, refusals.without_grad_mode),
        page="backends",
    ),
    Claim(
        "input-side-probes",
        "S21",
        "probes of inputs: the same mean, variance of JᵀJ",
        "E ‖JV‖²_F = ‖J‖²_F",
        (modes.input_side,),
        page="modes",
        about=on(),
    ),
    Claim(
        "finite-differences",
        "S22",
        "finite differences: value exact, gradient to O(h²)",
        "2‖v‖ ∇⟨r, z(x + hu) − z(x − hu)⟩ / 2h",
        (modes.differences,),
        page="modes",
        about=on(),
    ),
)
BY_ID = {claim.id: claim for claim in CLAIMS}


def claim_of(name: str) -> Claim:
    """The claim of that id or alias.

    Raises
    ------
    ValueError
        There is none.
    """
    ids = {claim.alias: claim.id for claim in CLAIMS}
    return BY_ID[checks.choice("a claim", ids.get(name, name), BY_ID)]


# Reports travel between processes, and checks do not: a claim goes by its id.
copyreg.pickle(Claim, lambda claim: (claim_of, (claim.id,)))
