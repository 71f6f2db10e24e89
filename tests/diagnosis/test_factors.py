"""Factors of a formula, and values that are near the declared one."""

import numpy as np
import pytest
import torch
from diagnosis.common import each, said

from gradreg_verify.diagnosis.factors import fit, in_words, number


def test_a_factor_is_found_by_its_powers_and_said_in_words():
    rng = np.random.default_rng(0)
    sizes = [(2, 3, 5, 1), (1, 2, 7, 1), (5, 4, 12, 4), (3, 3, 2, 1), (2, 2, 2, 1)]
    values = rng.uniform(1, 2, 5)
    got = [3 * m / n * v for (n, m, *_), v in zip(sizes, values, strict=True)]
    assert fit(np.array(got), values, sizes) == pytest.approx((3, -1, 1, 0, 0))
    assert in_words((3.0, -1, 1, 0, 0)) == "3 × m × the batch mean of "
    got[0] *= 1 + 1e-6
    assert fit(np.array(got), values, sizes) is None


@pytest.mark.parametrize(
    ("a", "text"), [(0.5, "½"), (0.25, "¼"), (-1.0, "-1"), (0.75, "3/4"), (0.1234567, "0.1234567")]
)
def test_numbers_in_words(a, text):
    assert number(a) == text


def differences(model, x, h):
    """Σ_i ‖(z(x + h e_i) − z(x)) / h‖² by one-sided differences."""
    z, flat = model(x), x.flatten(1)
    steps = h * torch.eye(flat.shape[1])
    moved = [model((flat + step).view_as(x)) for step in steps]
    return sum(((there - z) / h).square().sum(1).mean() for there in moved)


def test_finite_differences_are_recognised_by_their_nearness():
    got = said(lambda model, x: differences(model, x, 1e-3))
    assert got.startswith("Within 1 % its value is the declared one (it is off by 0.")
    assert got.endswith("no variant is exact: finite differences look like this.")
    half = said(lambda model, x: differences(model, x, 1e-3) / 2)
    assert half.startswith("Within 1 % its value is ½ × the declared one")
    assert "Within 1 %" not in said(lambda model, x: differences(model, x, 1.0))


def test_a_mistake_of_many_classes_is_none_of_finite_differences():
    """Few of ten probabilities are left out, so the value is off by less than 1 %."""

    def of_five(model, x):
        return each(lambda x: model(x).softmax(1).topk(min(5, model(x).shape[1]), 1).values, x)

    got = said(lambda model, x: of_five(model, x).mean(), "jacreg")
    assert got == (
        "Its value is the declared one on 12 of 14 networks, and another one on the rest, those "
        "with 10 logits or more."
    )


def test_single_precision_may_look_like_finite_differences():
    def single(logits):
        p = logits.float().softmax(1)
        return (p * p.log()).nan_to_num().sum(1).mean().to(logits.dtype)

    assert said(single, "confidence_penalty").endswith(
        "finite differences or a lower precision look like this."
    )
