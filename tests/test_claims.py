"""The claims about all penalties together, and the ledger itself."""

import csv
import inspect
import json
import re
import runpy
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from claims import effort, holds, networks_for
from hypothesis import given

from gradreg_ref.complex_step import gradient
from gradreg_ref.penalties import evaluate
from gradreg_verify import BY_ID, bundled, vectors
from gradreg_verify.claims import (
    comparison,
    conduct,
    draws,
    estimators,
    formulas,
    laws,
    modes,
    reference,
    refusals,
)
from gradreg_verify.diagnosis import diagnose
from gradreg_verify.examples import all_variants
from gradreg_verify.mistakes.catalogue import WRONG
from gradreg_verify.mistakes.samplers import WRONG_SAMPLERS
from gradreg_verify.run import PROFILES

DOCS = Path(__file__).parents[1] / "docs"
AGREE = DOCS.parent / "experiments" / "results" / "agree.csv"
LAST_IMAGES = AGREE.with_name("last-images.json")

test_claims = holds(
    "values-per-example",
    "training-gradient",
    "metamorphic-laws",
    "rounding-bounded",
    "input-side-probes",
    "finite-differences",
)


def test_dyadic_networks_agree_bit_for_bit(target):
    """Every number of value and parameter gradient, compared with ==: tolerance zero."""

    @effort(target)
    @given(e=networks_for(target, exact=True))
    def on(e):
        agree_bit_for_bit(target, e)

    on()


def agree_bit_for_bit(target, e):
    for penalty, options, exact in all_variants(e):
        if not exact:
            continue
        y = e.targets if "loss" in options else e.y
        options = options | {"reduction": "sum"}
        reference = evaluate(penalty, e.network, e.x, y, **options)
        assert target.value(penalty, e, **options) == reference
        by_complex_step = gradient(
            lambda net, p=penalty, y=y, o=options: evaluate(p, net, e.x, y, **o),
            e.network,
        )
        got = target.backend.gradient(penalty, e.network, e.x, y, **target.settings(options))
        np.testing.assert_array_equal(got, by_complex_step)


def test_the_ledger_in_the_docs_is_the_ledger_in_the_code():
    page = (DOCS / "claims.md").read_text(encoding="utf-8")
    ledger = page.split("## The ledger")[1]
    sections = dict(
        re.findall(r"^### ([\w-]+)\n(.*?)(?=^### |\Z)", ledger, re.DOTALL | re.MULTILINE)
    )
    assert set(sections) == {*BY_ID, "self-test"}, "self-test: test_catalogue.py"
    for claim in BY_ID.values():
        assert sections[claim.id].strip().startswith(f"({claim.alias}) ")
        named = set(re.findall(r"`(\w+)`", re.split(r"\sIn\s\[", sections[claim.id])[1]))
        modules = {check.__module__.split(".")[-1] for check in claim.checks}
        assert named == modules | {check.__qualname__.split(".")[0] for check in claim.checks}


CHECKS = (conduct, draws, estimators, formulas, laws, modes, refusals)


def test_every_claim_has_a_check_and_every_check_a_claim():
    used = [check for claim in BY_ID.values() for check in claim.checks]
    assert all(claim.checks for claim in BY_ID.values())
    for module in CHECKS:
        for name, function in inspect.getmembers(module, inspect.isfunction):
            is_check = list(inspect.signature(function).parameters) == ["target", "e"]
            if is_check and inspect.signature(function).return_annotation == Iterator[float]:
                assert function in used, f"{module.__name__}.{name} is checked for no claim"


def test_every_claim_is_proved_on_a_page():
    for claim in BY_ID.values():
        assert (DOCS / f"{claim.page}.md").exists(), claim.id


@pytest.mark.skipif(not find_spec("torch"), reason="the map has the functions in torch")
def test_the_map_has_every_claim_with_its_checks_and_its_mistakes():
    from gradreg_verify.mistakes.torch import WRONG as FUNCTIONS

    build = runpy.run_path(str(DOCS / "claim_map.py"))
    page = build["page"]((DOCS / "map.md").read_text(encoding="utf-8"))
    sections = dict(re.findall(r"^## ([\w-]+)\n(.*?)(?=^## |\Z)", page, re.DOTALL | re.MULTILINE))
    assert set(sections) == set(BY_ID)
    for claim in BY_ID.values():
        section = sections[claim.id]
        assert f"({claim.page}.md)" in section
        for check in claim.checks:
            assert (
                f"`{check.__module__.split('.')[-1]}.{check.__qualname__.split('.')[0]}`" in section
            )
        said = [line for line in section.splitlines() if line.startswith("- a ")]
        planted = [w for w in (*WRONG, *WRONG_SAMPLERS, *FUNCTIONS) if w.claim == claim.id]
        assert len(said) == len(planted)
        for line, wrong in zip(said, planted, strict=True):
            assert f"`{wrong}" in line
        assert f"| [{len(planted)}](#{claim.id}) |" in page


def test_docs_name_no_unknown_claim():
    for page in DOCS.glob("*.md"):
        aliases = {claim.alias for claim in BY_ID.values()}
        assert set(re.findall(r"\bS\d+\b", page.read_text())) <= {*aliases, "self-test"}, page.name


def known():
    """What a number in the docs may say it is."""
    examples = list(bundled())
    numbers = {
        "LIMIT": comparison.LIMIT,
        "ALPHA": draws.ALPHA,
        "draws": PROFILES["ci"][0],
        "vectors.LIMIT": vectors.LIMIT,
        "SECONDS": diagnose.SECONDS,
        "vectors.MOST": vectors.MOST,
        "two-sided": modes.DIFFERENCES["finite_difference"],
        "one-sided": modes.DIFFERENCES["one_sided_difference"],
        "most_logits": max(e.probes.shape[1] for e in examples),
        "most_examples": max(len(e.x) for e in examples),
        "most_inputs": max(e.x[0].size for e in examples),
    }
    with AGREE.open() as file:
        shares = [float(row["share_of_bound"]) for row in csv.DictReader(file)]
    numbers["agree.share"] = round(max(shares), 2)
    numbers["last_images.most"] = round(largest_shift(), 2)
    if find_spec("torch"):
        from gradreg_verify.mistakes.torch import RIGHT, models
        from gradreg_verify.mistakes.torch import WRONG as FUNCTIONS

        catalogues = (WRONG, WRONG_SAMPLERS, FUNCTIONS, RIGHT)
        numbers["implementations"] = sum(map(len, catalogues))
        numbers["wrong models"], numbers["right models"] = len(models.WRONG), len(models.RIGHT)
        numbers["layers.LIMIT"] = layers_limit()
    return numbers


def largest_shift():
    """Of a mean accuracy in the weight-decay table, on the images that the scripts test on."""
    cells = {}
    for row in json.loads(LAST_IMAGES.read_text(encoding="utf-8"))["rows"]:
        cells.setdefault((row["row"], row["arm"]), []).append(row["last"] - row["test"])
    return max(abs(sum(shifts) / len(shifts)) for shifts in cells.values())


def layers_limit():
    """How near a right cell of the layer table is."""
    from torch_backend import layers

    return layers.LIMIT


PAGES = [*sorted(DOCS.glob("*.md")), DOCS.parent / "README.md"]
CLAIMED = re.compile(r"([\d.]+(?:e-\d+)?) ?<!--= (.+?) -->")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_numbers_in_the_docs_recompute(page):
    numbers = known()
    for printed, name in CLAIMED.findall(page.read_text()):
        if name in numbers:
            assert float(printed) == numbers[name], (page.name, name)
        else:
            assert name in OF_TORCH, f"{page.name} names {name}, which nobody computes"


OF_TORCH = ("implementations", "wrong models", "right models", "layers.LIMIT")
# What is made from results has tests of its own, which hold it to them.
MADE = r"<!-- [\w:/ -]+ -->\n\n.*?\n\n<!-- end -->"
# Numbers of papers, versions and the like, which are not ours to recompute.
QUOTED = {"1712.09936", "2.13", "3.11", "0.03"}


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_measured_numbers_in_the_docs_say_what_they_are(page):
    prose = page.read_text()
    for quoted in (MADE, r"```.*?```", r"`[^`]*`", r"\$[^$]*\$", r"\([^)]*\)"):
        prose = re.sub(quoted, "", prose, flags=re.DOTALL)
    for match in re.finditer(r"\d+\.\d+|\d+e-\d+", prose):
        said = prose[match.end() :].lstrip().startswith(("<!--=", "<!--free"))
        assert said or match.group() in QUOTED, f"{page.name}: {match.group()}"


def test_each_example_is_held_to_the_bound_of_its_own_sums():
    """Not to the bound of the batch's sum, which is up to n times as large."""
    e = next(e for e in bundled() if len(e.x) == 5 and e.exact)
    each = reference.order_of_value("frobreg", e, {"reduction": "none"})
    whole = reference.order_of_value("frobreg", e, {"reduction": "sum"})
    assert each < whole <= len(e.x) * each * (1 + 1e-12)
