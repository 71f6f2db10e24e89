"""Wrong implementations as formulas on explicit Jacobians, and the claim that each one breaks.

Most are made of the vectors and forms of `gradreg_verify.diagnosis`, and have their names. They run
in the loopback backend. Gradients are complex steps, so *detaching* a number, which framework
code does with ``.detach()``, is taking its real part. `gradreg_verify.mistakes.samplers` has the
wrong laws of probes.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from gradreg_ref.contraction import reduce
from gradreg_ref.penalties import PENALTIES, Case, Formula
from gradreg_ref.typing import Array
from gradreg_verify.diagnosis.forms import FORMS, OTHERS, Form, square
from gradreg_verify.diagnosis.variants import VECTORS, Vector, per_probe
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
        sides = ("output", "input") if self.claim == "input-side-probes" else ("output",)
        return LoopbackBackend({self.penalty: self.formula}, sides)

    def __str__(self) -> str:
        return f"{self.penalty}: {self.name}"


CLAIM = {name: f"{name.replace('_', '-')}-formula" for name in PENALTIES}
CLAIM["spectreg"] = "spectreg-quadratic-form"
PER_EXAMPLE = "values-per-example"
FORM = {form.text: form for form in FORMS}
VECTOR = {vector.name: vector for vector in VECTORS}


def instead(penalty: str, vector: Vector, form: Form = FORM["‖{}‖²"]) -> Formula:
    """A number made of a vector; the penalty still refuses what must be refused."""
    needs_probes = PENALTIES[penalty].probes == "always"

    def formula(c: Case, *, reduction: Any = "mean", probes: Any = None, **o: Any) -> Array:
        given = {} if probes is None else {"probes": probes}
        right = PENALTIES[penalty].formula(c, reduction=reduction, **given, **o)
        seeded, other_form = o.get("rng") is not None, o.get("loss") == "mean_squared_error"
        if seeded or other_form or needs_probes != bool(given):
            return right  # not what is wrong
        r = np.broadcast_to(probes, (*c.z.shape, probes.shape[2])) if given else np.zeros(0)
        values = form.of(vector.at(c, r))
        return reduce(values * np.ones(len(c.z)) / (len(c.z) if form.whole else 1), reduction)

    return formula


def half_mirrored(c: Case, *, side: Any = "output", **o: Any) -> Array:
    """Half of SpectReg, for probes of the inputs alone."""
    return PENALTIES["spectreg"].formula(c, side=side, **o) * (0.5 if side == "input" else 1)


def number(penalty: str, text: str, name: str, claim: str) -> Wrong:
    """Another number made of a vector."""
    return Wrong(text.format(name), penalty, claim, instead(penalty, VECTOR[name], FORM[text]))


def squares(penalty: str, *names: str) -> list[Wrong]:
    """The squares of vectors that are taken for that of the penalty."""
    return [number(penalty, "‖{}‖²", name, CLAIM[penalty]) for name in names]


def probe(name: str, claim: str, R: Callable[[Array], Array], form: Form = FORM["‖{}‖²"]) -> Wrong:
    """SpectReg with R(probes) in place of r/√q."""
    vector = Vector("", lambda _, r: R(r))
    return Wrong(name, "spectreg", claim, instead("spectreg", vector, form))


def other(penalty: str, name: str) -> Wrong:
    """A number of the grammar that is no contraction of J."""
    (found,) = (one for one in OTHERS if one.name == name)

    def formula(c: Case, *, reduction: Any = "mean", **o: Any) -> Array:
        PENALTIES[penalty].formula(c, **o)  # refuses what must be refused
        return found.of(c, None) if found.whole else reduce(found.of(c, None), reduction)

    return Wrong(name, penalty, CLAIM[penalty], formula)


def after(penalty: str, name: str, claim: str, change: Callable[[Any, Case], Any]) -> Wrong:
    """The right number, changed."""
    right = PENALTIES[penalty].formula
    return Wrong(name, penalty, claim, lambda c, **o: change(right(c, **o), c))


def without_graph(penalty: str) -> Wrong:
    """A constant to the optimiser."""
    return after(penalty, "no graph", "training-gradient", lambda v, _: v.real)


def reduced(penalty: str, name: str, reduction: str, becomes: Callable[[Array], Array]) -> Wrong:
    """The right per-example values, reduced wrongly where `reduction` is asked for."""
    right = PENALTIES[penalty].formula

    def formula(c: Case, **o: Any) -> Array:
        if o.get("reduction") != reduction:
            return right(c, **o)
        return becomes(right(c, **(o | {"reduction": "none"})))

    return Wrong(name, penalty, PER_EXAMPLE, formula)


WRONG: tuple[Wrong, ...] = (
    *(
        after(penalty, "half of it", claim, lambda v, _: v / 2)
        for penalty, claim in (CLAIM | {"spectreg": "spectreg-unbiased"}).items()
    ),
    *squares("frobreg", "Jᵀ1 (the gradient of the sum of the logits)", "J without its last class"),
    number("frobreg", "‖{}‖, the norm and not its square", "J", CLAIM["frobreg"]),
    without_graph("frobreg"),
    reduced("frobreg", "the sum in place of the mean", "mean", lambda v: v.sum()),
    *squares("spectreg", "(∂p/∂x)ᵀr", "(∂ log p/∂x)ᵀr"),
    number("spectreg", "‖{}‖, the norm and not its square", "Jᵀr", CLAIM["spectreg"]),
    number("spectreg", "‖{}‖² with one factor detached", "Jᵀr", "training-gradient"),
    number("spectreg", "‖Σ_b {}‖², summed over the batch before it is squared", "Jᵀr", PER_EXAMPLE),
    probe("probes summed, not averaged", "probes-averaged", lambda r: r),
    probe("the first probe in place of each", "probes-averaged", lambda r: r[:, :, :1]),
    probe(
        "one probe for the whole batch",
        PER_EXAMPLE,
        lambda r: per_probe(np.broadcast_to(r[:1], r.shape)),
    ),
    probe(
        "a linear term",
        CLAIM["spectreg"],
        per_probe,
        Form("‖{0}‖² + Σ {0}", lambda v: square(v) + v.sum(axis=(1, 2))),
    ),
    after("spectreg", "mean over inputs", CLAIM["spectreg"], lambda v, c: v / c.J.shape[2]),
    without_graph("spectreg"),
    reduced("spectreg", "1/B² in place of 1/B", "mean", lambda v: v.mean() / len(v)),
    reduced("spectreg", "the mean in place of the sum", "sum", lambda v: v.mean()),
    *squares(
        "doubleback", "Jᵀ(p − y), p constant", "Jᵀ(p + y)", "Jᵀp", "Jᵀ(p − y) with y counted from 1"
    ),
    after(
        "doubleback",
        "the gradient of the batch-mean loss",
        PER_EXAMPLE,
        lambda v, c: v / len(c.z) ** 2,
    ),
    without_graph("doubleback"),
    Wrong("half of it with probes of the inputs", "spectreg", "input-side-probes", half_mirrored),
    *squares(
        "jacreg",
        "∂p/∂x, p constant in diag p − ppᵀ",
        "∂p/∂x without its last class",
        "J",
        "∂ log p/∂x",
        "diag(p) J",
        "(diag p + ppᵀ) J",
    ),
    *squares("onehot", "Jᵀe_c, c the predicted class", "∂p_y/∂x"),
    after("onehot", "times m + 1", CLAIM["onehot"], lambda v, c: v * (c.z.shape[1] + 1)),
    Wrong(
        "label 0 for all",
        "onehot",
        CLAIM["onehot"],
        instead("onehot", Vector("Jᵀe_0", lambda c, _: np.eye(c.z.shape[1])[0 * c.y])),
    ),
    other("confidence_penalty", "Σ p log p with p detached"),
    after(
        "confidence_penalty",
        "the entropy, not its negative",
        CLAIM["confidence_penalty"],
        lambda v, _: -v,
    ),
    reduced("confidence_penalty", "sum over the batch", "mean", lambda v: v.sum()),
    other("weight_decay", "Σ‖θ‖², biases included"),
    Wrong(
        "R detached",
        "contract",
        CLAIM["contract"],
        lambda c, R, **o: PENALTIES["contract"].formula(c, R(c.z.real, c.y), **o),
    ),
)
