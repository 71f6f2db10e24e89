"""References that are computed once: for equal contents, and never for others."""

from dataclasses import replace

import numpy as np

from gradreg_verify import bundled
from gradreg_verify.claims import reference
from gradreg_verify.kept import kept


def test_equal_contents_are_computed_once_and_others_anew():
    asked = []

    @kept
    def total(a, *, times=1):
        asked.append(times)
        return a.sum() * times

    assert [total(np.ones(3)), total(np.ones(3)), total(np.ones(3), times=2)] == [3, 3, 6]
    assert total(np.array([1.0, 1.0, 2.0])) == 4
    assert total(np.ones((1, 3))) == 3
    assert asked == [1, 2, 1, 1]


def test_every_part_of_an_example_counts():
    e = next(bundled())
    first = reference.value("doubleback", e)
    assert reference.value("doubleback", next(bundled())) == first
    for other in (replace(e, x=2 * e.x), replace(e, y=1 - e.y), e.scaled(2)):
        assert reference.value("doubleback", other) != first
    assert reference.value("frobreg", e) != first
