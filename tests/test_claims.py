"""The claims about all penalties together, and the ledger itself."""

import re
from pathlib import Path

import numpy as np
from claims import holds
from hypothesis import given

from gradreg_ref.complex_step import gradient
from gradreg_ref.loopback import FORMULAS, evaluate
from gradreg_ref.verify import BY_ID
from gradreg_ref.verify.examples import all_variants
from gradreg_ref.verify.strategies import example as examples

DOCS = Path(__file__).parents[1] / "docs"

test_claims = holds("S1", "S10", "S13", "S14")


@given(e=examples(exact=True))
def test_dyadic_networks_agree_bit_for_bit(target, e):
    """Every number of value and parameter gradient, compared with ==: tolerance zero."""
    for penalty, options, exact in all_variants(e):
        if not exact:
            continue
        y = e.targets if "loss" in options else e.y
        options = options | {"reduction": "sum"}
        reference = evaluate(FORMULAS[penalty], e.network, e.x, y, **options)
        assert target.value(penalty, e, **options) == reference
        by_complex_step = gradient(
            lambda net, p=penalty, y=y, o=options: evaluate(FORMULAS[p], net, e.x, y, **o),
            e.network,
        )
        np.testing.assert_array_equal(target.gradient(penalty, e, **options), by_complex_step)


def test_the_ledger_in_the_docs_is_the_ledger_in_the_code():
    rows = re.findall(r"^\| `?(S\d+)`? ", (DOCS / "claims.md").read_text(), flags=re.MULTILINE)
    assert rows == [f"S{k}" for k in range(1, len(rows) + 1)]
    assert set(rows) == {*BY_ID, "S15"}, "S15, that the checks are checked, is test_catalogue.py"


def test_docs_name_no_unknown_claim():
    for page in DOCS.glob("*.md"):
        named = set(re.findall(r"\bS\d+\b", page.read_text()))
        assert named <= {*BY_ID, "S15"}, page.name
