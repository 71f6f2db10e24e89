"""S15: every wrong implementation turns the claim that it breaks red, and no right one does."""

import numpy as np
import pytest

from gradreg_ref.loopback import FORMULAS, LoopbackBackend
from gradreg_ref.verify import BY_ID, CLAIMS, Broken, Target, bundled, verify
from gradreg_ref.verify.catalogue import WRONG
from gradreg_ref.verify.samplers import WRONG_SAMPLERS

EXAMPLES = list(bundled())


@pytest.mark.parametrize("wrong", [*WRONG, *WRONG_SAMPLERS], ids=str)
@pytest.mark.filterwarnings("ignore:Casting complex values")
def test_wrong_implementation_is_flagged(wrong):
    with pytest.raises(Broken):
        check_on_all_examples(wrong.claim, wrong.backend())


def check_on_all_examples(claim, backend):
    for e in filter(BY_ID[claim].applies, EXAMPLES):
        BY_ID[claim].check(Target(backend), e)


def test_every_claim_is_broken_by_something():
    """By name in the catalogue, or (S5–S7, S13, S14) in a test of its own below."""
    named = {wrong.claim for wrong in (*WRONG, *WRONG_SAMPLERS)}
    assert named | {"S5", "S6", "S7", "S13", "S14"} == set(BY_ID)


@pytest.mark.parametrize("claim", ["S5", "S6", "S7"])
def test_variance_claims_see_a_wrong_scale(claim):
    wrong = next(w for w in WRONG if str(w) == "spectreg: half of it")
    with pytest.raises(Broken):
        check_on_all_examples(claim, wrong.backend())


@pytest.mark.parametrize("name", ["onehot: label 0 for all", "jacreg: the last class is dropped"])
def test_permutations_see_an_asymmetry(name):
    wrong = next(w for w in WRONG if str(w) == name)
    with pytest.raises(Broken, match="permuted classes"):
        check_on_all_examples("S13", wrong.backend())


def test_refusals_see_an_implementation_that_accepts_anything():
    careless = LoopbackBackend({"onehot": lambda c, **_: c.J.sum()})
    with pytest.raises(Broken, match="expected an error"):
        BY_ID["S14"].check(Target(careless), EXAMPLES[0])


def flipped(c, *, probes=None, **options):
    probes = None if probes is None else -probes
    return FORMULAS["spectreg"](c, probes=probes, **options)


def permuted(c, *, probes=None, **options):
    if probes is not None and probes.ndim == 3:
        probes = probes[:, :, ::-1]
    return FORMULAS["spectreg"](c, probes=probes, **options)


def by_trace(c, *, reduction="mean"):
    FORMULAS["frobreg"](c, reduction=reduction)
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
    assert "ZeroDivisionError: oops" in {r.claim: r for r in report.results}["S12"].figure
