"""The code of docs/jax.md runs: it trains, and its penalty is the reference's number."""

import re
from functools import lru_cache
from pathlib import Path

import gradreg_jax as gj
import jax
import jax.numpy as jnp
import numpy as np
import pytest

pytestmark = pytest.mark.xdist_group("jax")

PAGE = Path(__file__).parents[2] / "docs" / "jax.md"
TEXT = PAGE.read_text(encoding="utf-8")
SECTIONS = {
    title: re.findall(r"^```python\n(.*?)^```", section, flags=re.DOTALL | re.MULTILINE)
    for title, section in re.findall(
        r"^#+ ([^\n]*)\n(.*?)(?=^## |\Z)", TEXT, re.DOTALL | re.MULTILINE
    )
}
# Recipes, and what they need.
RECIPES = {
    "A step": None,
    "With optax": "optax",
    "With Equinox": "equinox",
    "With Flax Linen": "flax",
    "With Flax NNX": "flax",
}
# f has 60 · 24 · 3 products of at most 16 terms: 16 roundings of float32, half an ulp each.
LIMIT = 16 * 2.0**-24


@lru_cache
def run(*titles):
    """The names that these sections leave, after those before them; to be read only."""
    names = dict(run(*titles[:-1])) if titles else {}
    title = titles[-1] if titles else "In JAX"
    for block in SECTIONS[title]:
        exec(compile(block, f"{PAGE.name}, {title}", "exec"), names)
    return names


def falls(losses):
    """Less than two thirds of the start, over 40 steps; and no step is the same."""
    return len(losses) == len(set(losses)) == 40 and losses[-1] < losses[0] * 2 / 3


@pytest.mark.parametrize("title", RECIPES)
def test_a_recipe_trains_and_its_penalty_is_the_reference_s(title):
    if RECIPES[title]:
        pytest.importorskip(RECIPES[title])
    names = run(*dict.fromkeys(["A step", title]))
    assert falls(names["losses"]), names["losses"]
    assert abs(float(names["penalty"]) / float(names["expected"]) - 1) < LIMIT


@pytest.mark.parametrize("title", ["Batch norm", "On several devices"])
def test_other_sections_run(title):
    """They hold asserts. On one device here; test_sharding.py has four."""
    run("A step", title)


def test_every_block_is_run():
    ran = {"In JAX", *RECIPES, "Batch norm", "On several devices"}
    assert {title for title, blocks in SECTIONS.items() if blocks} == ran


def test_a_loss_that_does_not_fall_is_seen():
    assert not falls([1.0] * 40)
    assert not falls(list(np.linspace(1, 0.7, 40)))


def test_running_statistics_move_and_are_what_the_penalty_sees():
    pytest.importorskip("flax")
    names = run("A step", "With Flax Linen")
    start = names["variables"]["batch_stats"]
    moved = jax.tree.map(lambda a, b: float(abs(a - b).max()), start, names["stats"])
    assert min(jax.tree.leaves(moved)) > 0.01

    def with_the_first(params, x):
        return names["net"].apply({"params": params, "batch_stats": start}, x, train=False)

    other = gj.frobreg(with_the_first, names["params"], names["x"])
    assert abs(float(other) / float(names["penalty"]) - 1) > 0.01


def test_streams_of_dropout_move_once_a_step():
    pytest.importorskip("flax")
    names = run("A step", "With Flax NNX")
    assert int(names["model"].dropout.rngs.count[...]) == 40


def test_the_mask_of_a_key_is_that_of_loss_and_penalty():
    pytest.importorskip("equinox")
    names = run("A step", "With Equinox")
    x, params = names["x"], names["params"]
    f, other = (names["with_dropout"](jax.random.key(i)) for i in (0, 1))
    J = np.asarray(jax.jacrev(lambda x: f(params, x).sum(axis=0))(x), np.float64)
    assert abs(float(gj.frobreg(f, params, x, reduction="sum")) / (J**2).sum() - 1) < LIMIT
    assert gj.frobreg(other, params, x) != gj.frobreg(f, params, x)


X, Y = jnp.asarray(np.arange(12.0).reshape(3, 4) / 4), jnp.arange(3)
KEY = jax.random.key(0)


def f(params, x):
    return x @ params


W = jnp.asarray(np.arange(12.0).reshape(4, 3) / 4)
REFUSED = {
    "no key": lambda: gj.spectreg(f, W, X),
    "as many probes as logits": lambda: gj.spectreg(f, W, X, key=KEY, num_probes=3),
    "one probe for a batch": lambda: gj.spectreg(f, W, X, probes=jnp.ones((1, 3, 1))),
    "integer inputs": lambda: gj.frobreg(f, W, X.astype(int)),
    "one example without its axis": lambda: gj.frobreg(f, W, X[0]),
    "NaN": lambda: gj.frobreg(f, W, X * jnp.nan),
    "a loss for logits": lambda: gj.frobreg(lambda p, x: f(p, x).sum(), W, X),
    "parameters first": lambda: gj.frobreg(W, f, X),
    "one logit": lambda: gj.jacreg(lambda p, x: f(p, x)[:, :1], W, X),
    "labels from 1": lambda: gj.onehot(f, W, X, Y + 1),
    "labels as floats": lambda: gj.doubleback(f, W, X, Y.astype(float)),
    "an unknown mode": lambda: gj.spectreg(f, W, X, key=KEY, mode="auto"),
}


def refusals():
    """What each is told, as the page has it."""
    lines = ["| what | message |", "|---|---|"]
    for name, attempt in REFUSED.items():
        with pytest.raises((ValueError, TypeError)) as refusal:
            attempt()
        lines.append(f"| {name} | {type(refusal.value).__name__}: {refusal.value} |")
    return "\n".join(lines)


MARKS = re.compile(r"(?<=<!-- refusals -->\n\n).*?(?=\n\n<!-- end -->)", re.DOTALL)


def test_the_table_has_the_messages():
    """To write it anew: ``python tests/jax_backend/test_recipes.py``."""
    assert MARKS.findall(TEXT) == [refusals()]


@pytest.mark.parametrize("closed_over", ["x", "labels", "probabilities", "probes"])
def test_arrays_that_a_compiled_step_closes_over(closed_over):
    """They have values to read, though JAX traces what is done with them."""
    bad = closed_over == "labels"
    attempts = {
        "x": lambda W, x: gj.frobreg(f, W, x),
        "labels": lambda W, y: gj.onehot(f, W, X, y),
        "probabilities": lambda W, y: gj.doubleback(f, W, X, y),
        "probes": lambda W, r: gj.spectreg(f, W, X, probes=r),
    }
    good = {"x": X, "labels": Y, "probabilities": jnp.eye(3), "probes": X[:, :3, None]}
    attempt, given = attempts[closed_over], good[closed_over]
    assert jax.jit(lambda W: attempt(W, given))(W) == pytest.approx(float(attempt(W, given)))
    wrong = given + 3 if bad else given * jnp.nan
    with pytest.raises(ValueError, match="expected "):
        jax.jit(lambda W: attempt(W, wrong))(W)


if __name__ == "__main__":
    PAGE.write_text(MARKS.sub(lambda _: refusals(), TEXT), encoding="utf-8")
