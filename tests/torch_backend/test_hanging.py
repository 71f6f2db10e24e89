"""What does not return is not tested, is not asked again, and says how to give it more time."""

from time import sleep, thread_time

import pytest
import torch

from gradreg_verify import verify
from gradreg_verify.mistakes.torch import right, right_draws
from gradreg_verify.outcomes import Hung
from gradreg_verify.subject.watch import Patience, time_limit


def count(seconds):
    """So many seconds of computing."""
    start = thread_time()
    while thread_time() - start < seconds:
        pass


def forever(*_):
    while True:
        pass


class Counted:
    """A penalty that hangs where `where(calls, x)` says so, and the calls made of it."""

    def __init__(self, where, penalty=right.naive, factor=1):
        self.where, self.penalty, self.factor, self.calls = where, penalty, factor, []

    def __call__(self, model: torch.nn.Module, x: torch.Tensor) -> torch.Tensor:
        self.calls.append(hangs := self.where(self.calls, x))
        return forever() if hangs else self.factor * self.penalty(model, x)


def verdicts(report):
    return {r.claim.id: r.verdict for r in report.results if r.verdict != "NOT-APPLICABLE"}


@pytest.mark.parametrize("kind", ["frobreg", "spectreg"])
def test_a_function_that_never_returns_is_called_once_and_not_tested(kind):
    penalty = Counted(lambda calls, x: True)
    report = verify(penalty, kind, time_limit=0.05)
    assert set(verdicts(report).values()) == {"NOT-TESTED"}
    assert "a larger --time-limit gives a call more time" in report.results[0].figure
    assert len(penalty.calls) == 1
    assert report.status == 2
    assert report.diagnosis is None


def test_what_was_found_before_stays_and_the_rest_is_not_asked():
    """Half of it, and never back from images: S1 finds no fault, as halves add up."""
    penalty = Counted(lambda calls, x: len(calls) == 100, factor=0.5)
    report = verify(penalty, "frobreg", time_limit=0.05)
    found = verdicts(report)
    assert found["values-per-example"] == "PASS"
    assert found["frobreg-formula"] == "FAIL"
    assert list(found.values())[-3:] == ["NOT-TESTED"] * 3
    assert len(penalty.calls) == 101
    assert report.diagnosis is None
    assert report.status == 1


def test_a_hang_in_the_layout_search_does_not_change_the_tier():
    """The search tries ways to hand probes over: one that hangs is not one that does not fit."""

    def where(calls, x):
        return len(x) == 2 and x.shape[1] == 5  # the network of the read-out

    penalty = Counted(where, right_draws.signs_of_gaussians)
    report = verify(penalty, "spectreg", probe="rademacher", time_limit=0.05)
    assert sum(penalty.calls) == 1
    assert report.tier.startswith("not known")
    assert report.status == 2


def test_a_hang_in_the_diagnosis_leaves_the_verdicts():
    returns = Counted(lambda calls, x: False, factor=0.5)
    verify(returns, "frobreg")
    last = len(returns.calls) - 1  # the diagnosis comes last
    penalty = Counted(lambda calls, x: len(calls) == last, factor=0.5)
    report = verify(penalty, "frobreg", time_limit=0.05)
    assert verdicts(report)["frobreg-formula"] == "FAIL"
    assert "did not return" in str(report.diagnosis)
    assert sum(penalty.calls) == 1


def test_the_first_call_of_a_kind_may_take_longer():
    patience = Patience(0.2)  # by the clock 1.2 s: a busy machine computes 0.25 s in that time
    with patience.limit("value"):
        count(0.25)
    with pytest.raises(Hung, match=r"within 0.2 s of computing"), patience.limit("value"):
        forever()
    with patience.limit("gradient"):
        count(0.25)


def test_waiting_is_no_computing_but_ends_too():
    with time_limit(0.05):
        sleep(0.1)
    with pytest.raises(Hung, match=r"within 0.3 s by the clock"), time_limit(0.05):
        sleep(1000)


def test_a_function_that_catches_what_it_can_is_ended_all_the_same():
    def swallowing():
        while True:
            try:
                forever()
            except Exception:  # as people write it
                continue

    with pytest.raises(Hung), time_limit(0.05):
        swallowing()


def test_no_alarm_is_left_behind():
    with time_limit(0.05):
        pass
    sleep(0.5)
