"""Every wrong implementation turns the claim that it breaks red, and no right one does."""

import numpy as np
import pytest

from gradreg_ref.contraction import reduce
from gradreg_ref.penalties import PENALTIES
from gradreg_verify import BY_ID, CLAIMS, Broken, Target, bundled, verify
from gradreg_verify.claims import draws
from gradreg_verify.frameworks.loopback import LoopbackBackend
from gradreg_verify.mistakes.catalogue import VECTOR, WRONG, instead
from gradreg_verify.mistakes.samplers import WRONG_SAMPLERS

EXAMPLES = list(bundled())


@pytest.mark.parametrize("wrong", [*WRONG, *WRONG_SAMPLERS], ids=str)
@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_wrong_implementation_is_flagged(wrong):
    with pytest.raises(Broken):
        check_on_all_examples(wrong.claim, wrong.backend())


def check_on_all_examples(claim, backend):
    for e in filter(BY_ID[claim].applies, EXAMPLES):
        BY_ID[claim].check(Target(backend), e)


@pytest.mark.parametrize("wrong", WRONG_SAMPLERS, ids=str)
def test_a_wrong_law_is_that_of_every_penalty_so_that_the_law_alone_is_wrong(wrong):
    """Else a replay of the penalty that has the right law fails, and no test of the law is seen."""
    e = next(e for e in EXAMPLES if len(e.x) == 5 and e.x.ndim == 2)
    assert list(draws.replay(Target(wrong.backend()), e))


def test_every_claim_is_broken_by_something():
    """By name in this catalogue, in a test below, or in those of torch."""
    named = {wrong.claim for wrong in (*WRONG, *WRONG_SAMPLERS)}
    assert named | {
        "gaussian-variance",
        "rademacher-variance",
        "sphere-variance",
        "metamorphic-laws",
        "rounding-bounded",
        "repeatable",
        "bad-input-refused",
        "finite-differences",
    } == set(BY_ID)


@pytest.mark.parametrize("claim", ["gaussian-variance", "rademacher-variance", "sphere-variance"])
def test_variance_claims_see_a_wrong_scale(claim):
    wrong = next(w for w in WRONG if str(w) == "spectreg: half of it")
    with pytest.raises(Broken):
        check_on_all_examples(claim, wrong.backend())


@pytest.mark.parametrize(
    "name", ["onehot: label 0 for all", "jacreg: ‖∂p/∂x without its last class‖²"]
)
def test_permutations_see_an_asymmetry(name):
    wrong = next(w for w in WRONG if str(w) == name)
    with pytest.raises(Broken, match="permuted classes"):
        check_on_all_examples("metamorphic-laws", wrong.backend())


def test_refusals_see_an_implementation_that_accepts_anything():
    careless = LoopbackBackend({"onehot": lambda c, **_: c.J.sum()})
    with pytest.raises(Broken, match="expected an error"):
        check_on_all_examples("bad-input-refused", careless)


RIGHT = {
    "frobreg": "J",
    "spectreg": "Jᵀr",
    "doubleback": "Jᵀ(p − y)",
    "jacreg": "∂p/∂x",
    "onehot": "Jᵀe_y",
}


@pytest.mark.parametrize("penalty", RIGHT)
def test_the_catalogue_s_own_frame_is_right_with_the_right_vector(penalty):
    """Otherwise an entry would be flagged for the frame, not for its mistake."""
    formula = instead(penalty, VECTOR[RIGHT[penalty]])
    report = verify(LoopbackBackend({penalty: formula}, sides=("output",)))
    assert report.ok, [str(r) for r in report.results if r.verdict != "PASS"]


def late_detach(penalty):
    """The mean, which people train with, without a graph; sums with one."""

    def formula(c, *, reduction="mean", **options):
        value = PENALTIES[penalty].formula(c, reduction=reduction, **options)
        return value.real if reduction == "mean" else value

    return formula


@pytest.mark.parametrize("penalty", ["frobreg", "spectreg", "doubleback", "jacreg"])
def test_a_mean_without_a_graph_is_seen(penalty):
    with pytest.raises(Broken, match="parameter gradient"):
        check_on_all_examples("training-gradient", LoopbackBackend({penalty: late_detach(penalty)}))


def by_seed(factor=1, detach=False):
    """Wrong only where probes are drawn, as they are in training."""

    def formula(c, *, rng=None, **options):
        value = PENALTIES["spectreg"].formula(c, rng=rng, **options)
        return value if rng is None else factor * (value.real if detach else value)

    return formula


@pytest.mark.parametrize("wrong", [by_seed(factor=2), by_seed(detach=True)])
def test_a_mistake_at_drawn_probes_is_seen(wrong):
    with pytest.raises(Broken, match="of a seed"):
        check_on_all_examples("probe-law", LoopbackBackend({"spectreg": wrong}))


def overflowing(c, *, reduction="mean", **options):
    PENALTIES["confidence_penalty"].formula(c, **options)
    p = np.exp(c.z) / np.exp(c.z).sum(axis=1, keepdims=True)
    return reduce((p * np.log(p)).sum(axis=1), reduction)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_a_softmax_that_overflows_is_seen():
    report = verify(LoopbackBackend({"confidence_penalty": overflowing}))
    assert "confidence-penalty-formula" in report.failed


def flipped(c, *, probes=None, **options):
    probes = None if probes is None else -probes
    return PENALTIES["spectreg"].formula(c, probes=probes, **options)


def permuted(c, *, probes=None, **options):
    if probes is not None and probes.ndim == 3:
        probes = probes[:, :, ::-1]
    return PENALTIES["spectreg"].formula(c, probes=probes, **options)


def by_trace(c, *, reduction="mean"):
    PENALTIES["frobreg"].formula(c, reduction=reduction)
    values = np.trace(np.einsum("nki,nli->nkl", c.J, c.J), axis1=1, axis2=2)
    return {"none": values, "sum": values.sum(), "mean": values.sum() / len(values)}[reduction]


@pytest.mark.parametrize(
    ("penalty", "formula"), [("spectreg", flipped), ("spectreg", permuted), ("frobreg", by_trace)]
)
def test_right_but_unusual_implementation_passes(penalty, formula):
    report = verify(LoopbackBackend({penalty: formula}))
    assert report.ok, [r for r in report.results if r.verdict != "PASS"]
    assert len(report.results) == len(CLAIMS)


def test_an_implementation_that_raises_fails_and_does_not_take_the_kit_down():
    def broken(c, **_):
        raise ZeroDivisionError("oops")

    report = verify(LoopbackBackend({"jacreg": broken}))
    assert not report.ok
    assert (
        "ZeroDivisionError: oops"
        in {r.claim.id: r for r in report.results}["jacreg-formula"].figure
    )
