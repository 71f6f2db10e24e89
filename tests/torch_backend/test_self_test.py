"""The self-test of functions: a wrong one is flagged under its claim, no right one is."""

from collections import Counter

import pytest

from gradreg_verify import BY_ID, verify
from gradreg_verify.mistakes import self_test
from gradreg_verify.mistakes.torch import RIGHT, WRONG
from gradreg_verify.subject.declaration import KINDS


@pytest.mark.parametrize("entry", WRONG, ids=str)
def test_wrong_function_is_flagged(entry):
    assert self_test.flagged(entry.claim, self_test.function_target(entry, "cpu"))


@pytest.mark.parametrize("entry", RIGHT, ids=str)
def test_right_function_passes(entry):
    report = verify(entry.function, **vars(entry.declaration))
    assert report.ok, str(report)


def test_an_entry_is_tried_by_its_number():
    names = [str(entry) for entry in self_test.entries()]
    for name, claim in (("frobreg: half of it", "frobreg-formula"), ("onehot: gathered", "")):
        trial = self_test.tried("cpu", names.index(name))
        assert (trial.entry, trial.claim, trial.ok) == (name, claim, True)


def test_the_catalogue_is_as_large_as_it_says():
    assert len(WRONG) >= 60
    assert len(RIGHT) >= 12
    by_penalty = Counter(entry.declaration.kind for entry in WRONG)
    assert all(by_penalty[penalty] >= 3 for penalty in KINDS)
    # These are asked of backends: test_modes.py, test_catalogue.py.
    of_backends = {"input-side-probes", "finite-differences", "contract-formula", "frames-variance"}
    of_functions = set(BY_ID) - of_backends
    assert {entry.claim for entry in WRONG} == of_functions, "every claim is broken by a function"
    kinds = {"value", "gradient", "sampler", "batch", "shape", "dtype", "conduct"}
    assert {entry.mistake for entry in WRONG} == kinds


def test_every_entry_says_what_it_computes_and_where_it_was_seen():
    for entry in WRONG:
        assert entry.formula, entry
        assert entry.seen, entry
    assert len({str(entry) for entry in [*WRONG, *RIGHT]}) == len(WRONG) + len(RIGHT)


def test_the_table_of_models():
    trials = self_test.models()
    assert all(t.ok for t in trials), [t for t in trials if not t.ok]
    assert self_test.score_of_models(trials) == (
        "17 of 17 wrong models flagged by check_model in the line that is wrong, "
        "0 of 11 right ones flagged"
    )
