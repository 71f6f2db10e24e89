"""Other people's normalisations, each written out, against its factor; and the page's table."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import gradreg_ref as ref
from gradreg_ref.conventions import CONVENTIONS, equal_lam

PAGE = Path(__file__).parents[1] / "docs" / "normalisations.md"
MARKS = re.compile(r"(?<=<!-- conventions -->\n\n).*?(?=\n\n<!-- end -->)", re.DOTALL)


def loss_gradients(J, p, y):
    """∂L_b/∂x_b of the cross-entropy, (n, i)."""
    return np.einsum("nki,nk->ni", J, p - y)


# Each as its author writes it, with n, m and i read off the arrays.
THEIRS = {
    "paper": lambda J, p, y, W: np.mean([np.sum(J_b**2) for J_b in J]),
    "jacobian_regularizer": lambda J, p, y, W: 0.5 * np.sum(J**2) / len(J),
    "torchdeq": lambda J, p, y, W: np.sum(J**2) / (J.shape[0] * J.shape[2]),
    "sum": lambda J, p, y, W: np.sum(J**2),
    "R1": lambda J, p, y, W: 0.5 * np.mean(np.sum(J**2, axis=(1, 2))),
    "tulip": lambda J, p, y, W: 0.5 * np.mean(np.sum(loss_gradients(J, p, y) ** 2, axis=1)),
    "mean_loss": lambda J, p, y, W: np.sum((loss_gradients(J, p, y) / len(J)) ** 2),
    "mean_loss_mean": lambda J, p, y, W: np.mean(
        np.sum((loss_gradients(J, p, y) / len(J)) ** 2, axis=1)
    ),
    "confidence_penalty_scripts": lambda J, p, y, W: np.sum(p * np.log(p)),
    "weight_decay_paper": lambda J, p, y, W: 0.5 * np.sum(W**2),
}


def example(n, m, i, seed):
    """J, logits, one-hot labels, weights."""
    rng = np.random.default_rng(seed)
    J, z, W = rng.normal(size=(n, m, i)), rng.normal(size=(n, m)), rng.normal(size=(m, i))
    return J, z, rng.integers(0, m, n), W


def ours(penalty, J, z, y, W):
    return {
        "frobreg": lambda: ref.frobreg(J),
        "doubleback": lambda: ref.doubleback(J, z, y),
        "confidence_penalty": lambda: ref.confidence_penalty(z),
        "weight_decay": lambda: ref.weight_decay([W]),
    }[penalty]()


SIZE = st.integers(1, 6)


@pytest.mark.parametrize("name", CONVENTIONS)
@given(n=SIZE, m=st.integers(2, 6), i=SIZE, seed=st.integers(0, 2**32 - 1))
def test_theirs_is_the_factor_times_ours(name, n, m, i, seed):
    J, z, y, W = example(n, m, i, seed)
    p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
    theirs = THEIRS[name](J, p, np.eye(m)[y], W)
    value = ours(CONVENTIONS[name].penalty, J, z, y, W)
    assert theirs == pytest.approx(CONVENTIONS[name].factor(n, i) * value, rel=1e-12)
    # λ there and the equal λ here give the same term.
    assert 0.3 * theirs == pytest.approx(equal_lam(name, 0.3, n=n, i=i) * value, rel=1e-12)


def test_every_convention_is_written_out():
    assert list(THEIRS) == list(CONVENTIONS)


def test_a_gradient_penalty_towards_one_is_no_multiple():
    """WGAN-GP's (‖∇D‖ − 1)²: per example, over the batch, per pixel; three different numbers."""
    g = np.random.default_rng(0).normal(size=(4, 3, 5))  # n, c, pixels
    per_example = np.mean((np.sqrt((g**2).sum((1, 2))) - 1) ** 2)
    over_batch = (np.sqrt((g**2).sum()) - 1) ** 2
    per_pixel = np.mean((np.sqrt((g**2).sum(1)) - 1) ** 2)
    assert len({round(value, 3) for value in (per_example, over_batch, per_pixel)}) == 3
    twice = np.mean((np.sqrt(((2 * g) ** 2).sum((1, 2))) - 1) ** 2)
    assert abs(twice / per_example - 4) > 0.1  # a quadratic penalty would give 4


def test_what_cannot_be_is_a_sentence():
    with pytest.raises(ValueError, match="expected a convention to be one of paper"):
        equal_lam("facebook", 0.1, n=1, i=3)
    with pytest.raises(ValueError, match="expected n to be a whole number >= 1, got 0"):
        equal_lam("paper", 0.1, n=0, i=3)
    with pytest.raises(ValueError, match=r"expected n, the examples in a batch, for Σ_b .*none"):
        equal_lam("sum", 0.1)
    with pytest.raises(ValueError, match="expected i, the input coordinates, for 1/"):
        equal_lam("torchdeq", 0.1, n=5)
    for lam in ("0.1", None, float("nan"), float("inf"), 1j, True):
        with pytest.raises(ValueError, match="expected lam to be a finite number"):
            equal_lam("paper", lam)
    with pytest.raises(ValueError, match="expected i to be a whole number >= 1, got 0"):
        CONVENTIONS["torchdeq"].factor(1, 0)


FACTORS = {1.0: "1", 0.5: "½", 5.0: "n", 1 / 5: "1/n", 1 / 25: "1/n²", 1 / 7: "1/i"}


def conventions():
    """The table, as the page has it."""
    lines = ["| name | value | of | factor |", "|---|---|---|---|"]
    for name, c in CONVENTIONS.items():
        factor = FACTORS[c.factor(5, 7)]
        lines.append(f"| `{name}` | {c.formula} | `{c.penalty}` | {factor} |")
    sources = [f"- `{name}`: {c.source}" for name, c in CONVENTIONS.items()]
    return "\n".join([*lines, "", *sources])


def test_the_page_has_the_table():
    """To write it anew: ``python tests/test_conventions.py``."""
    assert MARKS.findall(PAGE.read_text(encoding="utf-8")) == [conventions()]


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(MARKS.sub(lambda _: conventions(), text), encoding="utf-8")
