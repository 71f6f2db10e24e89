"""Wrong implementations, each a few lines, and the claim that each one breaks.

They are formulas on explicit Jacobians, behind the loopback backend. Gradients are complex steps,
so *detaching* a number, which framework code does with ``.detach()``, is taking its real part.
`gradreg_verify.mistakes.samplers` has the wrong laws of probes.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from gradreg_ref.contraction import contract, reduce
from gradreg_ref.losses import loss_gradient, softmax, softmax_jacobian, target_probabilities
from gradreg_ref.penalties import PENALTIES, Case, Formula
from gradreg_ref.typing import Array
from gradreg_verify.frameworks.loopback import LoopbackBackend


@dataclass(frozen=True)
class Wrong:
    """A mistake.

    Parameters
    ----------
    name : str
        What was done.
    penalty : str
        Instead of which penalty.
    claim : str
        Id of the claim that it breaks.
    formula : callable
        ``formula(case, **options)``, in place of the reference's.
    """

    name: str
    penalty: str
    claim: str
    formula: Formula

    def backend(self) -> LoopbackBackend:
        """The reference with this one formula wrong."""
        return LoopbackBackend({self.penalty: self.formula})

    def __str__(self) -> str:
        return f"{self.penalty}: {self.name}"


def scaled(penalty: str, factor: Any) -> Formula:
    """The right formula times a number, or factor(case)."""
    return lambda c, **o: (
        PENALTIES[penalty].formula(c, **o) * (factor(c) if callable(factor) else factor)
    )


def per_example(values: Any) -> Formula:
    """values(case, R) with R = r/√q, then the reduction asked for."""

    def formula(c: Case, *, reduction: Any = "mean", probes: Any = None, **o: Any) -> Array:
        if probes is None:  # drawn from a seed, or refused: not what is wrong here
            return PENALTIES["spectreg"].formula(c, reduction=reduction, **o)
        PENALTIES["spectreg"].formula(c, probes=probes, **o)  # refuses what must be refused
        q = probes.shape[2]
        return reduce(values(c, np.broadcast_to(probes, (*c.z.shape, q)) / np.sqrt(q)), reduction)

    return formula


def with_R(R: Any) -> Formula:
    """‖JᵀR‖² with the R(case, y) given, y onehot or the regression target."""

    def formula(c: Case, *, reduction: Any = "mean", loss: Any = None, **o: Any) -> Array:
        loss_gradient(c.z, c.y, loss or "cross_entropy")  # refuses what must be refused
        if loss == "mean_squared_error":
            return PENALTIES["doubleback"].formula(c, reduction=reduction, loss=loss, **o)
        return reduce(
            contract(c.J, R(c, target_probabilities(c.y, *c.z.shape))[:, :, None]), reduction
        )

    return formula


def with_S(S: Any) -> Formula:
    """‖S J‖²_F, projected where there are probes, with the S(case) given."""

    def formula(c: Case, *, reduction: Any = "mean", probes: Any = None, **o: Any) -> Array:
        right = PENALTIES["jacreg"].formula(c, probes=probes, reduction=reduction, **o)
        if o.get("rng") is not None:  # drawn from a seed: not what is wrong here
            return right
        if probes is None:
            return reduce(contract(c.J, S(c)), reduction)
        S_r = np.einsum("nlk,nlq->nkq", S(c), probes)
        return reduce(contract(c.J, S_r) / probes.shape[2], reduction)

    return formula


def detached(penalty: str) -> Formula:
    """Everything without a graph: a constant to the optimiser."""
    return lambda c, **o: PENALTIES[penalty].formula(c, **o).real


def wrong_reduction(penalty: str, reduction: str, becomes: Any) -> Formula:
    """The right per-example values, reduced wrongly where `reduction` is asked for."""

    def formula(c: Case, **o: Any) -> Array:
        if o.get("reduction") != reduction:
            return PENALTIES[penalty].formula(c, **o)
        return becomes(PENALTIES[penalty].formula(c, **(o | {"reduction": "none"})))

    return formula


def log_softmax_jacobian(c: Case) -> Array:
    """∂ log p/∂x = (I − 1 pᵀ) J."""
    return c.J - np.einsum("nk,nki->ni", softmax(c.z), c.J)[:, None, :]


def without_last_class(R: Array) -> Array:
    """R with its last row zero."""
    keep = np.ones(R.shape[1])
    keep[-1] = 0
    return R * keep[:, None]


def half_detached(c: Case, R: Array) -> Array:
    """v·v.detach(): the right value, half the gradient."""
    Jt_R = np.einsum("nki,nkq->niq", c.J, R)
    return np.einsum("niq,niq->n", Jt_R, Jt_R.real)


def batch_gradient(c: Case, R: Array) -> Array:
    """The gradient summed over the batch before it is squared."""
    total = np.einsum("nki,nkq->iq", c.J, R)
    return np.einsum("iq,iq->", total, total) * np.ones(len(c.z)) / len(c.z)


def p(c: Case) -> Array:
    """softmax(z)."""
    return softmax(c.z)


def diag_p(c: Case) -> Array:
    """diag(p)."""
    return p(c)[:, :, None] * np.eye(c.z.shape[1])


def ones(c: Case) -> Array:
    """One column of ones: the gradient of the sum of the logits."""
    return np.ones((*c.z.shape, 1))


def last_class_alone(c: Case) -> Array:
    """‖J‖²_F of all logits but the last."""
    m = c.z.shape[1]
    return contract(c.J, without_last_class(np.broadcast_to(np.eye(m), (len(c.z), m, m))))


def frobenius(values: Any) -> Formula:
    """values(case), then the reduction asked for."""

    def formula(c: Case, *, reduction: Any = "mean", **o: Any) -> Array:
        PENALTIES["frobreg"].formula(c, **o)
        return reduce(values(c), reduction)

    return formula


def guarded(penalty: str, values: Any) -> Formula:
    """values(case) instead of the penalty, which still refuses what must be refused."""

    def formula(c: Case, *, reduction: Any = "mean", **o: Any) -> Array:
        PENALTIES[penalty].formula(c, **o)
        return reduce(values(c), reduction)

    return formula


def with_R_detached(c: Case, R: Any, **o: Any) -> Array:
    """An R of the real parts of the logits: the right value, a part of the gradient."""
    return PENALTIES["contract"].formula(c, R(c.z.real, c.y), **o)


WRONG = (
    Wrong("half of it", "frobreg", "frobreg-formula", scaled("frobreg", 0.5)),
    Wrong(
        "the norm, not its square",
        "frobreg",
        "frobreg-formula",
        frobenius(
            lambda c: np.sqrt(
                contract(c.J, np.eye(c.z.shape[1])[None].repeat(len(c.z), 0)) + 1e-300
            )
        ),
    ),
    Wrong(
        "gradient of the summed logits",
        "frobreg",
        "frobreg-formula",
        frobenius(lambda c: contract(c.J, ones(c))),
    ),
    Wrong("the last class is dropped", "frobreg", "frobreg-formula", frobenius(last_class_alone)),
    Wrong(
        "mean over classes",
        "frobreg",
        "frobreg-formula",
        scaled("frobreg", lambda c: 1 / c.z.shape[1]),
    ),
    Wrong("no create_graph", "frobreg", "training-gradient", detached("frobreg")),
    Wrong(
        "sum for mean",
        "frobreg",
        "values-per-example",
        wrong_reduction("frobreg", "mean", lambda v: v.sum()),
    ),
    Wrong("half of it", "spectreg", "spectreg-unbiased", scaled("spectreg", 0.5)),
    Wrong(
        "mean over inputs",
        "spectreg",
        "spectreg-quadratic-form",
        scaled("spectreg", lambda c: 1 / c.J.shape[2]),
    ),
    Wrong(
        "1/B² for 1/B",
        "spectreg",
        "values-per-example",
        wrong_reduction("spectreg", "mean", lambda v: v.mean() / len(v)),
    ),
    Wrong(
        "mean for sum",
        "spectreg",
        "values-per-example",
        wrong_reduction("spectreg", "sum", lambda v: v.mean()),
    ),
    Wrong(
        "the norm, not its square",
        "spectreg",
        "spectreg-quadratic-form",
        per_example(lambda c, R: np.sqrt(contract(c.J, R) + 1e-300)),
    ),
    Wrong(
        "softmax for logits",
        "spectreg",
        "spectreg-quadratic-form",
        per_example(
            lambda c, R: contract(np.einsum("nkl,nli->nki", softmax_jacobian(c.z), c.J), R)
        ),
    ),
    Wrong(
        "log-softmax for logits",
        "spectreg",
        "spectreg-quadratic-form",
        per_example(lambda c, R: contract(log_softmax_jacobian(c), R)),
    ),
    Wrong(
        "the last class is dropped",
        "spectreg",
        "spectreg-unbiased",
        per_example(lambda c, R: contract(c.J, without_last_class(R))),
    ),
    Wrong(
        "probes summed, not averaged",
        "spectreg",
        "probes-averaged",
        per_example(lambda c, R: contract(c.J, R * np.sqrt(R.shape[2]))),
    ),
    Wrong(
        "the first probe for all",
        "spectreg",
        "probes-averaged",
        per_example(lambda c, R: contract(c.J, R[:, :, :1] * np.sqrt(R.shape[2]))),
    ),
    Wrong(
        "one probe for the whole batch",
        "spectreg",
        "values-per-example",
        per_example(lambda c, R: contract(c.J, np.broadcast_to(R[:1], R.shape))),
    ),
    Wrong(
        "gradient summed over the batch",
        "spectreg",
        "values-per-example",
        per_example(batch_gradient),
    ),
    Wrong(
        "a linear term",
        "spectreg",
        "spectreg-quadratic-form",
        per_example(lambda c, R: contract(c.J, R) + np.einsum("nkq->n", R)),
    ),
    Wrong("no create_graph", "spectreg", "training-gradient", detached("spectreg")),
    Wrong("v·v.detach()", "spectreg", "training-gradient", per_example(half_detached)),
    Wrong("half of it", "doubleback", "doubleback-formula", scaled("doubleback", 0.5)),
    Wrong("p detached", "doubleback", "doubleback-formula", with_R(lambda c, y: p(c).real - y)),
    Wrong("p + y", "doubleback", "doubleback-formula", with_R(lambda c, y: p(c) + y)),
    Wrong("p alone", "doubleback", "doubleback-formula", with_R(lambda c, _: p(c))),
    Wrong(
        "labels off by one",
        "doubleback",
        "doubleback-formula",
        with_R(lambda c, y: p(c) - np.roll(y, 1, axis=1)),
    ),
    Wrong(
        "loss of the batch mean",
        "doubleback",
        "values-per-example",
        scaled("doubleback", lambda c: 1 / len(c.z) ** 2),
    ),
    Wrong("no create_graph", "doubleback", "training-gradient", detached("doubleback")),
    Wrong("half of it", "jacreg", "jacreg-formula", scaled("jacreg", 0.5)),
    Wrong("p detached", "jacreg", "jacreg-formula", with_S(lambda c: softmax_jacobian(c.z).real)),
    Wrong("without p pᵀ", "jacreg", "jacreg-formula", with_S(diag_p)),
    Wrong(
        "plus p pᵀ",
        "jacreg",
        "jacreg-formula",
        with_S(lambda c: 2 * diag_p(c) - softmax_jacobian(c.z)),
    ),
    Wrong(
        "log-softmax",
        "jacreg",
        "jacreg-formula",
        with_S(lambda c: np.eye(c.z.shape[1]) - p(c)[:, :, None]),
    ),
    Wrong(
        "logits",
        "jacreg",
        "jacreg-formula",
        with_S(lambda c: np.eye(c.z.shape[1])[None].repeat(len(c.z), 0)),
    ),
    Wrong(
        "the last class is dropped",
        "jacreg",
        "jacreg-formula",
        with_S(lambda c: without_last_class(softmax_jacobian(c.z))),
    ),
    Wrong(
        "label 0 for all",
        "onehot",
        "onehot-formula",
        guarded("onehot", lambda c: contract(c.J, np.eye(c.z.shape[1])[0 * c.y][:, :, None])),
    ),
    Wrong(
        "the predicted class",
        "onehot",
        "onehot-formula",
        guarded(
            "onehot", lambda c: contract(c.J, np.eye(c.z.shape[1])[c.z.real.argmax(1)][:, :, None])
        ),
    ),
    Wrong("times m", "onehot", "onehot-formula", scaled("onehot", lambda c: c.z.shape[1] + 1)),
    Wrong(
        "the entropy, not its negative",
        "confidence_penalty",
        "confidence-penalty-formula",
        scaled("confidence_penalty", -1),
    ),
    Wrong(
        "log(p + 1e-6)",
        "confidence_penalty",
        "confidence-penalty-formula",
        guarded("confidence_penalty", lambda c: (p(c) * np.log(p(c) + 1e-6)).sum(axis=1)),
    ),
    Wrong(
        "sum over the batch",
        "confidence_penalty",
        "values-per-example",
        wrong_reduction("confidence_penalty", "mean", lambda v: v.sum()),
    ),
    Wrong("half of it", "contract", "contract-formula", scaled("contract", 0.5)),
    Wrong("R detached", "contract", "contract-formula", with_R_detached),
    Wrong("half of it", "weight_decay", "weight-decay-formula", scaled("weight_decay", 0.5)),
    Wrong(
        "biases too",
        "weight_decay",
        "weight-decay-formula",
        lambda c, **_: (c.network.parameters() ** 2).sum(),
    ),
)
